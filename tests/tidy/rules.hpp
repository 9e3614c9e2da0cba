#pragma once

#include "tests/tidy/source_text.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace pgsluice::tidy {

inline constexpr std::size_t file_lines_max = 450;
inline constexpr std::size_t function_lines_max = 60;
inline constexpr std::size_t class_functions_max = 40;
inline constexpr std::size_t class_booleans_max = 10;
inline constexpr std::size_t columns_max = 100;
inline constexpr std::size_t readme_lines_max = 60;
inline constexpr std::size_t room_readme_lines_max = 30;
inline constexpr std::size_t room_sources_max = 30;
inline constexpr std::size_t top_sources_max = 4;

/// A place that breaks a rule, as "path:line: what", one line each. Empty answers are good ones.
using findings = std::vector<std::string>;

/// Every source of protocol/, proxy/ and control/ is in a room (rooms.hpp).
findings check_place(const source_text& source);

/// A room includes only what the table of rooms opens to it, of ours and of the guarded libraries.
findings check_arrows(const source_text& source);

/// File length, line length (URLs and raw string literals may be longer), function length.
findings check_sizes(const source_text& source);

/// Member functions and booleans of each class. A class of tests may be as large as what it stands
/// for.
findings check_classes(const source_text& source);

/// A .cpp opens with a comment that maps it.
findings check_opening(const source_text& source);

/// co_await stands in no condition, && , || or ?: (g++ 12 compiles those wrongly).
findings check_awaits(const source_text& source);

/// Headers: `#pragma once`, no `using namespace`.
findings check_header(const source_text& source);

/// Words that are not to be used in code, and open ends in comments without the number of an issue.
findings check_words(const source_text& source);

/// All of the above but check_opening(), whose snippets would each need a comment.
findings check_source(const source_text& source);

/// File and line length of a Python file. `text` is the whole of it.
findings check_script(const std::string& path, const std::string& text);

/// A folder's README.md: it exists (an empty text is a missing one) and is short enough.
findings check_readme(const std::string& path, const std::string& text, std::size_t lines_max);

/// How many sources stand in one folder.
findings check_folder(const std::string& path, std::size_t sources, std::size_t sources_max);

}  // namespace pgsluice::tidy
