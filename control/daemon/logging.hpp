#pragma once

#include "control/config/config.hpp"

namespace pgsluice::control {

/// Sends the process's log to stderr, one event a line: `TIME LEVEL event key=value ...`, or a JSON
/// object {"time", "level", "event"}. May be called again after a reload.
void set_up_logging(const log_config& settings);

}  // namespace pgsluice::control
