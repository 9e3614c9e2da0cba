// Records given as keys of the configuration, read as lines of pg_hba.conf are.

#include "proxy/access/hba_records.hpp"

#include <algorithm>
#include <utility>

namespace pgsluice::proxy {

namespace {

bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

/// Reads the word at `at` and leaves that behind it; false when a quote is not closed.
bool read_word(std::string_view text, std::size_t& at, std::string& word, bool& is_quoted) {
    bool is_in_quotes = false;
    for (; at < text.size() && text[at] != '\n'; ++at) {
        const char c = text[at];
        if (c == '"' && is_in_quotes && at + 1 < text.size() && text[at + 1] == '"') {
            word += text[++at];
        } else if (c == '"') {
            is_in_quotes = !is_in_quotes;
            is_quoted = true;
        } else if (!is_in_quotes && (is_blank(c) || c == ',' || c == '#')) {
            break;
        } else {
            word += c;
        }
    }
    return !is_in_quotes;
}

}  // namespace

/// Blanks end a field, commas a word of it, unless they are quoted; "" within quotes is a quote; #
/// begins a comment; a backslash at the end of a line joins the next one.
result<std::vector<config_record>> split_records(std::string_view text) {
    std::vector<config_record> records;
    config_record now{1, {}};
    std::size_t line = 1;
    bool goes_on = false;  // a comma: the next word belongs to the same field
    const auto finish = [&] {
        if (!now.fields.empty()) {
            records.push_back(std::move(now));
        }
        now = {line + 1, {}};
        goes_on = false;
    };
    for (std::size_t at = 0; at < text.size();) {
        const char c = text[at];
        if (c == '\n') {
            finish();
            ++line;
            ++at;
        } else if (c == '\\' && at + 1 < text.size() && text[at + 1] == '\n') {
            ++line;
            at += 2;
        } else if (c == '#') {
            at = std::min(text.find('\n', at), text.size());
        } else if (is_blank(c)) {
            ++at;
        } else if (c == ',') {
            goes_on = !now.fields.empty();
            ++at;
        } else {
            record_word next;
            if (!read_word(text, at, next.text, next.is_quoted)) {
                return failure{"F0000", std::to_string(line) + ": a quote is not closed", {}, {}};
            }
            if (!goes_on) {
                now.fields.emplace_back();
            }
            now.fields.back().push_back(std::move(next));
            goes_on = false;
        }
    }
    finish();
    return records;
}

}  // namespace pgsluice::proxy
