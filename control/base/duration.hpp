#pragma once

#include "protocol/errors.hpp"

#include <chrono>
#include <string>
#include <string_view>

namespace pgsluice::control {

/// Reads `250ms`, `10s`, `5m` (whole numbers; the unit is obligatory, at most 24 hours). The
/// failure says what is wrong and what was expected.
result<std::chrono::milliseconds> parse_duration(std::string_view text);

/// The shortest text that parse_duration() reads back as `duration`.
std::string format_duration(std::chrono::milliseconds duration);

}  // namespace pgsluice::control
