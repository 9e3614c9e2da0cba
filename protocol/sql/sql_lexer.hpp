#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace pgsluice::protocol {

/// A piece of SQL text ("Lexical Structure"). White space and comments are none.
struct sql_token {
    enum class kind : std::uint8_t {
        end,
        word,        ///< unquoted identifier or keyword
        quoted,      ///< "identifier", text without the outer quotes
        unicode,     ///< U&"identifier", likewise, escapes undone by nobody
        string,      ///< every kind of string constant
        number,      ///< also $1
        symbol,      ///< one character of anything else
        unfinished,  ///< a string, identifier or comment that does not end
    };
    kind what = kind::end;
    std::string_view text{};

    bool is(char symbol) const noexcept { return what == kind::symbol && text[0] == symbol; }
    /// An unquoted word, given in lower case.
    bool is(std::string_view word) const noexcept;
};

/// Cuts a text into tokens as the server's scanner does, one pass, no allocation. The text has to
/// outlive the tokens.
class sql_lexer {
public:
    /// `standard_strings`: backslashes in plain strings mean themselves.
    sql_lexer(std::string_view text, bool standard_strings) noexcept
        : begin_(text.data()), rest_(text), standard_strings_(standard_strings) {}

    sql_token next() noexcept;

    /// Bytes in front of what next() looks at.
    std::size_t offset() const noexcept { return static_cast<std::size_t>(rest_.data() - begin_); }

private:
    sql_token take(sql_token::kind what, std::size_t bytes) noexcept;
    sql_token quoted_string(std::size_t prefix, bool has_escapes) noexcept;
    sql_token quoted_identifier(std::size_t prefix, sql_token::kind what) noexcept;
    sql_token dollar() noexcept;
    sql_token word() noexcept;

    const char* begin_;
    std::string_view rest_;
    bool standard_strings_;
};

/// As the server folds an unquoted identifier: ASCII letters only.
std::string lower_case(std::string_view word);

}  // namespace pgsluice::protocol
