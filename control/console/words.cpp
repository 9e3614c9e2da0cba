// A statement of the console as words and quoted names.

#include "control/console/words.hpp"

#include "protocol/sql/sql_lexer.hpp"

#include <algorithm>
#include <optional>

namespace pgsluice::control {

namespace {

constexpr std::string_view separators = " \t\r\n\f\v,";

failure unfinished(std::string_view what) {
    return {"42601", "unterminated " + std::string(what), {}, {}};
}

/// What stands between the quotes at the front of `rest`, which it is taken off; a doubled quote
/// means itself.
std::optional<std::string> take_quoted(std::string_view& rest) {
    const char quote = rest.front();
    std::string text;
    for (std::size_t at = 1; at < rest.size(); ++at) {
        if (rest[at] != quote) {
            text += rest[at];
        } else if (at + 1 < rest.size() && rest[at + 1] == quote) {
            text += rest[++at];
        } else {
            rest.remove_prefix(at + 1);
            return text;
        }
    }
    return std::nullopt;
}

/// Skips what separates words. False when a comment does not end.
bool skip_separators(std::string_view& rest) {
    for (;;) {
        rest.remove_prefix(std::min(rest.find_first_not_of(separators), rest.size()));
        if (rest.starts_with("--")) {
            rest.remove_prefix(std::min(rest.find('\n'), rest.size()));
        } else if (rest.starts_with("/*")) {
            const std::size_t end = rest.find("*/", 2);
            if (end == std::string_view::npos) {
                return false;
            }
            rest.remove_prefix(end + 2);
        } else {
            return true;
        }
    }
}

}  // namespace

bool console_word::is(std::string_view keyword) const {
    return !is_quoted && lower() == keyword;
}

std::string console_word::lower() const {
    return protocol::lower_case(text);
}

result<std::vector<console_word>> console_words(std::string_view statement) {
    std::vector<console_word> found;
    std::string_view rest = statement;
    for (;;) {
        if (!skip_separators(rest)) {
            return unfinished("/* comment");
        }
        if (rest.empty()) {
            return found;
        }
        if (rest.front() == '\'' || rest.front() == '"') {
            const bool is_name = rest.front() == '"';
            auto text = take_quoted(rest);
            if (!text) {
                return unfinished(is_name ? "quoted identifier" : "quoted string");
            }
            found.push_back({std::move(*text), true});
            continue;
        }
        const std::size_t end = std::min(rest.find_first_of(separators), rest.size());
        found.push_back({std::string(rest.substr(0, end))});
        rest.remove_prefix(end);
    }
}

std::string keyword_text(std::string_view name) {
    std::string out(name);
    for (char& c : out) {
        c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c == '-' ? ' ' : c;
    }
    return out;
}

}  // namespace pgsluice::control
