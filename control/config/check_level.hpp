#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

namespace pgsluice::control {

/// What a row of the preflight amounts to; `off` for a check that is not made.
enum class check_level : std::uint8_t { ok, warning, error, off };

/// Checks whose findings are to be taken more or less seriously: warning, error or off.
using check_levels = std::map<std::string, check_level, std::less<>>;

}  // namespace pgsluice::control
