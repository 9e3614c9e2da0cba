#pragma once

#include "protocol/errors.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::control {

/// A word of a console's statement.
struct console_word {
    std::string text;        ///< without its quotes
    bool is_quoted = false;  ///< 'text' or "name": never a keyword

    /// Is this keyword, in whatever case; `keyword` is given in lower case.
    bool is(std::string_view keyword) const;
    std::string lower() const;

    friend bool operator==(const console_word&, const console_word&) = default;
};

/// Splits a statement at blanks and commas; comments are none. Fails with 42601 where a quote or a
/// comment does not end.
result<std::vector<console_word>> console_words(std::string_view statement);

/// A name as keywords are written: `on-timeout` is ON TIMEOUT.
std::string keyword_text(std::string_view name);

}  // namespace pgsluice::control
