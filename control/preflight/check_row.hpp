#pragma once

#include "control/config/check_level.hpp"

#include <string>

namespace pgsluice::control {

/// One row of the preflight.
struct check_row {
    std::string name;
    check_level level = check_level::ok;
    std::string text;  ///< what was found, one line
    std::string hint;  ///< what to do; empty when nothing is to be done
};

}  // namespace pgsluice::control
