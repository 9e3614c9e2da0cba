#pragma once

#include "tests/tidy/source_text.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace pgsluice::tidy {

/// What a class or struct declares itself; classes inside of it are counted on their own.
struct class_extent {
    std::string name;
    std::size_t line = 0;       ///< of its head, counted from 1
    std::size_t functions = 0;  ///< declared or defined in it, but those that are `= delete`
    std::size_t booleans = 0;   ///< data members of type bool or std::atomic<bool>
};

/// Every class and struct with a body in this source.
std::vector<class_extent> classes_of(const source_text& source);

}  // namespace pgsluice::tidy
