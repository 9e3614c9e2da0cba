#pragma once

#include <string>
#include <string_view>

namespace pgsluice::control {

/// A name as SQL takes it whatever its characters (SQL Syntax, "Identifiers and Key Words").
inline std::string identifier(std::string_view name) {
    std::string out = "\"";
    for (const char c : name) {
        out += c == '"' ? "\"\"" : std::string(1, c);
    }
    return out + '"';
}

/// A text as a constant that means the same whatever standard_conforming_strings says.
inline std::string literal(std::string_view text) {
    std::string out = "E'";
    for (const char c : text) {
        out += c == '\'' || c == '\\' ? std::string(2, c) : std::string(1, c);
    }
    return out + '\'';
}

}  // namespace pgsluice::control
