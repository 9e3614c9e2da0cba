#pragma once

#include "protocol/errors.hpp"

#include <string_view>

namespace pgsluice::control {

/// A named place where tests make the process die, stop or fail. Does nothing unless the
/// environment variable PGSLUICE_FAULT names it:
///
///   PGSLUICE_FAULT = point "=" action { "," point "=" action }
///   action         = "kill"    SIGKILL to this process
///                  | "stop"    SIGSTOP to this process; goes on after SIGCONT
///                  | "error"   the point returns a failure
///
/// Points are passed on the control plane's paths only, never for a client's message.
result<void> fault_point(std::string_view name);

}  // namespace pgsluice::control
