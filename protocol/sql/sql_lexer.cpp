// The tokens of PostgreSQL's scanner (parser/scan.l) as far as anybody here has to tell them apart:
// what is a word, and what only looks like one inside a string, an identifier or a comment.

#include "protocol/sql/sql_lexer.hpp"

#include "protocol/sql/sql_text.hpp"

#include <algorithm>

namespace pgsluice::protocol {

namespace {

constexpr bool is_digit(char c) noexcept {
    return c >= '0' && c <= '9';
}

constexpr bool starts_word(char c) noexcept {
    return is_identifier_byte(c) && !is_digit(c) && c != '$';
}

}  // namespace

bool sql_token::is(std::string_view word) const noexcept {
    return what == kind::word && text.size() == word.size() && starts_with_word(text, word);
}

std::string lower_case(std::string_view word) {
    std::string folded(word);
    std::transform(folded.begin(), folded.end(), folded.begin(), lower);
    return folded;
}

sql_token sql_lexer::take(sql_token::kind what, std::size_t bytes) noexcept {
    const sql_token token{what, rest_.substr(0, bytes)};
    rest_.remove_prefix(token.text.size());
    return token;
}

/// `prefix` bytes stand before the opening quote.
sql_token sql_lexer::quoted_string(std::size_t prefix, bool has_escapes) noexcept {
    std::size_t at = prefix + 1;
    while (at < rest_.size()) {
        if (has_escapes && rest_[at] == '\\') {
            at += 2;
        } else if (rest_[at] != '\'') {
            ++at;
        } else if (at + 1 < rest_.size() && rest_[at + 1] == '\'') {
            at += 2;
        } else {
            return take(sql_token::kind::string, at + 1);
        }
    }
    return take(sql_token::kind::unfinished, rest_.size());
}

sql_token sql_lexer::quoted_identifier(std::size_t prefix, sql_token::kind what) noexcept {
    std::size_t at = prefix + 1;
    for (; at < rest_.size(); ++at) {
        if (rest_[at] != '"') {
            continue;
        }
        if (at + 1 >= rest_.size() || rest_[at + 1] != '"') {
            sql_token token = take(what, at + 1);
            token.text = token.text.substr(prefix + 1, at - prefix - 1);
            return token;
        }
        ++at;
    }
    return take(sql_token::kind::unfinished, rest_.size());
}

/// A dollar quote, a parameter, or just the sign.
sql_token sql_lexer::dollar() noexcept {
    std::size_t at = 1;
    if (at < rest_.size() && is_digit(rest_[at])) {
        while (at < rest_.size() && is_identifier_byte(rest_[at])) {
            ++at;
        }
        return take(sql_token::kind::number, at);
    }
    while (at < rest_.size() && rest_[at] != '$' && is_identifier_byte(rest_[at])) {
        ++at;
    }
    if (at >= rest_.size() || rest_[at] != '$') {
        return take(sql_token::kind::symbol, 1);
    }
    const std::string_view delimiter = rest_.substr(0, at + 1);
    const std::size_t end = rest_.find(delimiter, delimiter.size());
    if (end == rest_.npos) {
        return take(sql_token::kind::unfinished, rest_.size());
    }
    return take(sql_token::kind::string, end + delimiter.size());
}

sql_token sql_lexer::word() noexcept {
    const char first = lower(rest_[0]);
    const char second = rest_.size() > 1 ? rest_[1] : ' ';
    if (second == '\'' && (first == 'e' || first == 'b' || first == 'x' || first == 'n')) {
        return quoted_string(1, first == 'e' || (first == 'n' && !standard_strings_));
    }
    if (first == 'u' && second == '&' && rest_.size() > 2 && rest_[2] == '"') {
        return quoted_identifier(2, sql_token::kind::unicode);
    }
    if (first == 'u' && second == '&' && rest_.size() > 2 && rest_[2] == '\'') {
        return quoted_string(2, false);
    }
    std::size_t at = 1;
    while (at < rest_.size() && is_identifier_byte(rest_[at])) {
        ++at;
    }
    return take(sql_token::kind::word, at);
}

sql_token sql_lexer::next() noexcept {
    rest_ = skip_blank(rest_);
    if (rest_.empty()) {
        return {};
    }
    const char c = rest_[0];
    if (starts_word(c)) {
        return word();
    }
    if (c == '\'') {
        return quoted_string(0, !standard_strings_);
    }
    if (c == '"') {
        return quoted_identifier(0, sql_token::kind::quoted);
    }
    if (c == '$') {
        return dollar();
    }
    if (is_digit(c)) {
        std::size_t at = 1;
        while (at < rest_.size() && is_digit(rest_[at])) {
            ++at;
        }
        return take(sql_token::kind::number, at);
    }
    return take(sql_token::kind::symbol, 1);
}

}  // namespace pgsluice::protocol
