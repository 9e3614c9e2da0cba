#pragma once

#include "protocol/errors.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::proxy {

/// One word of a list; a quoted one is never a keyword.
struct record_word {
    std::string text;
    bool is_quoted = false;

    bool is(std::string_view keyword) const { return !is_quoted && text == keyword; }
};

/// One line (or several, joined by backslashes): fields, each a list of words.
struct config_record {
    std::size_t line = 0;
    std::vector<std::vector<record_word>> fields;
};

/// The records of pg_hba.conf and pg_ident.conf ("Client Authentication" in the manual), comments
/// and empty lines left out. Fails (F0000) with `LINE: ` in front.
result<std::vector<config_record>> split_records(std::string_view text);

}  // namespace pgsluice::proxy
