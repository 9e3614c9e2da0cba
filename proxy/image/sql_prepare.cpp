// Cutting one PREPARE out of a query string. Where statements end is the scanner of libpg_query's
// business, which is PostgreSQL's own; which of them is the PREPARE can be told from its first
// words.

#include "proxy/image/sql_prepare.hpp"

#include "protocol/sql/sql_text.hpp"

#include <pg_query.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace pgsluice::proxy {

namespace {

using protocol::skip_blank;

constexpr std::size_t comment_depth_max = 8;
constexpr std::size_t operator_bytes_max = 256;
constexpr std::size_t identifier_bytes_max = 63;  // NAMEDATALEN - 1

failure refused(const prepare_source& source, std::string_view why) {
    return {
        .sqlstate = std::string(sqlstate::feature_not_supported),
        .message = "the text of prepared statement \"" + std::string(source.name) +
                   "\" cannot be cut out of its query string",
        .detail = std::string(why),
        .hint = "DEALLOCATE it, or prepare it in a query of its own.",
    };
}

/// The scanner's time is quadratic in nested comments and in runs of operator characters. Strings
/// are not told from comments here, which may take a handful of levels for less than they are.
bool is_cheap_to_scan(std::string_view text) noexcept {
    constexpr std::string_view operators = "~!@#^&|`?+-*/%<>=";
    std::size_t depth = 0;
    std::size_t run = 0;
    std::size_t unpaired_from = 0;  // the bytes before belong to a comment's mark
    for (std::size_t i = 0; i < text.size(); ++i) {
        run = operators.find(text[i]) != operators.npos ? run + 1 : 0;
        const auto two = i < unpaired_from ? std::string_view() : text.substr(i, 2);
        const bool closes = two == "*/" && depth != 0;
        if (two == "/*" || closes) {
            depth = closes ? depth - 1 : depth + 1;
            unpaired_from = i + 2;
        }
        if (depth > comment_depth_max || run > operator_bytes_max)
            return false;
    }
    return true;
}

/// The identifier at the start of `text`, folded and truncated as the server does; moves past it.
std::optional<std::string> take_identifier(std::string_view& text) {
    std::string name;
    if (text.starts_with('"')) {
        text.remove_prefix(1);
        for (;;) {
            const auto quote = text.find('"');
            if (quote == text.npos)
                return std::nullopt;
            name += text.substr(0, quote);
            text.remove_prefix(quote + 1);
            if (!text.starts_with('"'))
                break;
            name += '"';
            text.remove_prefix(1);
        }
    } else {
        while (!text.empty() && protocol::is_identifier_byte(text[0])) {
            name += protocol::lower(text[0]);
            text.remove_prefix(1);
        }
    }
    name.resize(std::min(name.size(), identifier_bytes_max));
    return name;
}

/// `statement` is PREPARE name [(types)] AS …
bool prepares(std::string_view statement, std::string_view name) {
    auto text = skip_blank(statement);
    if (!protocol::starts_with_word(text, "prepare"))
        return false;
    text = skip_blank(text.substr(std::string_view("prepare").size()));
    if (take_identifier(text) != name)
        return false;
    text = skip_blank(text);
    return text.starts_with('(') || protocol::starts_with_word(text, "as");
}

}  // namespace

result<std::string_view> cut_prepare(const prepare_source& source) {
    if (source.text.size() > prepare_text_bytes_max)
        return refused(source, "The query string is longer than 64 KiB.");
    if (!source.has_standard_strings && source.text.find('\\') != source.text.npos)
        return refused(source, "It has a backslash and standard_conforming_strings was off.");
    if (!is_cheap_to_scan(source.text))
        return refused(source, "It nests comments too deep or has a very long operator.");

    const std::string terminated(source.text);
    const std::unique_ptr<PgQuerySplitResult, void (*)(PgQuerySplitResult*)> split(
        new PgQuerySplitResult(pg_query_split_with_scanner(terminated.c_str())),
        [](PgQuerySplitResult* r) {
            pg_query_free_split_result(*r);
            delete r;
        }
    );
    if (split->error != nullptr)
        return refused(source, split->error->message);
    const std::span statements(split->stmts, static_cast<std::size_t>(split->n_stmts));
    std::optional<std::string_view> found;
    for (const auto* piece : statements) {
        const auto text = source.text.substr(
            static_cast<std::size_t>(piece->stmt_location),
            static_cast<std::size_t>(piece->stmt_len)
        );
        if (!prepares(text, source.name))
            continue;
        if (found)
            return refused(source, "It is prepared there more than once.");
        found = text;
    }
    if (!found)
        return refused(source, "There is no PREPARE of that name in it.");
    return statements.size() == 1 ? source.text : *found;
}

}  // namespace pgsluice::proxy
