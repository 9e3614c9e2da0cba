#pragma once

#include <cstddef>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::tidy {

/// A small source file and what the rules have to say about it.
struct snippet {
    const char* name;
    const char* path;
    std::string text;
    const char* finding;  ///< a part of the one message expected; nullptr: nothing is wrong
};

/// For GoogleTest's messages.
void PrintTo(const snippet& row, std::ostream* out);

extern const std::vector<snippet> snippets;

std::string repeated(std::string_view line, std::size_t times);

}  // namespace pgsluice::tidy
