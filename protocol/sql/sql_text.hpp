#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

// The few lexical rules of SQL ("Lexical Structure") that hold whatever the session's settings are.

namespace pgsluice::protocol {

/// ASCII only, as the server folds keywords and setting names.
constexpr char lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

constexpr bool is_space(char c) noexcept {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/// No byte that the settings of a session could make mean something else: ASCII, no backslash.
constexpr bool is_plain_text(std::string_view text) noexcept {
    return std::all_of(text.begin(), text.end(), [](char c) {
        return static_cast<unsigned char>(c) < 0x80 && c != '\\';
    });
}

/// May stand inside an unquoted identifier; every byte beyond ASCII may.
constexpr bool is_identifier_byte(char c) noexcept {
    return (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '$' ||
           static_cast<unsigned char>(c) >= 0x80;
}

/// `text` starts with this lower-case word, in any case.
constexpr bool starts_with_word(std::string_view text, std::string_view word) noexcept {
    if (text.size() < word.size() ||
        (text.size() > word.size() && is_identifier_byte(text[word.size()])))
        return false;
    for (std::size_t i = 0; i < word.size(); ++i) {
        if (lower(text[i]) != word[i])
            return false;
    }
    return true;
}

/// What follows the nested comment that `text` starts with; empty if it does not end.
constexpr std::string_view after_comment(std::string_view text) noexcept {
    std::size_t depth = 0;
    std::size_t i = 0;
    do {
        const auto two = text.substr(i, 2);
        depth += two == "/*" ? 1 : 0;
        depth -= two == "*/" ? 1 : 0;
        i += two == "/*" || two == "*/" ? 2 : 1;
    } while (depth != 0 && i < text.size());
    return text.substr(depth == 0 ? i : text.size());
}

/// What follows the white space and comments that `text` starts with.
constexpr std::string_view skip_blank(std::string_view text) noexcept {
    while (!text.empty()) {
        if (is_space(text[0]))
            text.remove_prefix(1);
        else if (text.starts_with("--"))
            text.remove_prefix(std::min(text.find_first_of("\r\n"), text.size()));
        else if (text.starts_with("/*"))
            text = after_comment(text);
        else
            break;
    }
    return text;
}

}  // namespace pgsluice::protocol
