#pragma once

#include "control/base/deadline.hpp"
#include "control/base/step_result.hpp"

#include <string>
#include <utility>
#include <vector>

namespace pgsluice::control {

/// A command of the operator's that a cutover runs.
struct hook {
    std::string name;   ///< the key in the configuration, for messages
    std::string shell;  ///< given to /bin/sh -c
    std::vector<std::pair<std::string, std::string>> variables;  ///< added to the environment
};

/// Runs it and waits for its end. Killed with its whole process group at the deadline or an abort;
/// its output goes where pgsluice's own goes. Fails on any exit code but 0.
step_result<void> run_hook(const hook& what, const limits& until);

}  // namespace pgsluice::control
