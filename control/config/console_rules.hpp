#pragma once

#include "control/config/config.hpp"
#include "proxy/access/address_set.hpp"

#include <string>
#include <vector>

namespace pgsluice::control {

/// From where a console can be reached: `console.from`, by default this machine alone.
proxy::address_set console_from(const console_config& console);

/// What is wrong between the console's keys and others.
struct console_problem {
    std::string key;   ///< where: one that was given
    std::string text;  ///< begins with the key's name
};
std::vector<console_problem> check_console(const service_config& service);

}  // namespace pgsluice::control
