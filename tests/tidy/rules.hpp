#pragma once

#include "tests/tidy/source_text.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace pgsluice::tidy {

inline constexpr std::size_t file_lines_max = 450;
inline constexpr std::size_t function_lines_max = 70;
inline constexpr std::size_t columns_max = 100;
inline constexpr std::size_t readme_lines_max = 60;

/// A place that breaks a rule, as "path:line: what", one line each. Empty answers are good ones.
using findings = std::vector<std::string>;

/// control -> proxy -> protocol and never back; who may see which library; of proxy's headers,
/// control sees the listed ones alone.
findings check_arrows(const source_text& source);

/// File length, line length (URLs and raw string literals may be longer), function length.
findings check_sizes(const source_text& source);

/// Headers: `#pragma once`, no `using namespace`.
findings check_header(const source_text& source);

/// Words that are not to be used in code, and open ends in comments without the number of an issue.
findings check_words(const source_text& source);

/// All of the above.
findings check_source(const source_text& source);

/// File and line length of a Python file. `text` is the whole of it.
findings check_script(const std::string& path, const std::string& text);

/// A folder's README.md: it exists (an empty text is a missing one) and is short enough.
findings check_readme(const std::string& path, const std::string& text);

}  // namespace pgsluice::tidy
