#pragma once

#include "protocol/errors.hpp"

#include <cstddef>
#include <string_view>

namespace pgsluice::proxy {

/// Longest query string that is looked into; more costs too much on a worker's thread.
inline constexpr std::size_t prepare_text_bytes_max = 64 * 1024;

/// What pg_prepared_statements shows for a statement made by PREPARE.
struct prepare_source {
    std::string_view name;
    std::string_view text;  ///< the whole query string, in the server's encoding
    /// standard_conforming_strings is on and always was: backslashes mean what the scanner thinks.
    bool has_standard_strings = true;
};

/// The one statement `PREPARE name …` out of the query string it came in, which may hold others
/// that must not run again. A string that holds nothing else is returned whole. Fails with 0A000
/// and why: too long, comments nested deeper than 8, no or several statements of that name, text
/// that the scanner of libpg_query (PostgreSQL 15) cannot split, backslashes without standard
/// strings. The text is in a server encoding, where no trailing byte looks like ASCII, so client
/// encodings such as SJIS do not matter here. Thread-safe.
result<std::string_view> cut_prepare(const prepare_source& source);

}  // namespace pgsluice::proxy
