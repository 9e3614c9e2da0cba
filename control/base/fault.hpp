#pragma once

#include "protocol/errors.hpp"

#include <atomic>
#include <string_view>

namespace pgsluice::control {

/// A named place where tests make the process die, stop or fail. Does nothing unless the
/// environment variable PGSLUICE_FAULT names it:
///
///   PGSLUICE_FAULT = point "=" action { "," point "=" action }
///   action         = "kill"    SIGKILL to this process
///                  | "stop"    SIGSTOP to this process; goes on after SIGCONT
///                  | "error"   the point returns a failure
///                  | "hold"    the point waits until `released`; fails where there is none
///
/// PGSLUICE_FAULT_TRACE names a file that gets a line with the name of every point that is passed:
/// tests take their list of points from there, so that a new one is covered by itself.
///
/// Points are passed on the control plane's paths only, never for a client's message.
result<void> fault_point(std::string_view name, const std::atomic<bool>* released = nullptr);

}  // namespace pgsluice::control
