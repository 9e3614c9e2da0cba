#pragma once

namespace pgsluice::control {

/// How a command ended; also the exit code of sluicectl.
enum class exit_code : int {
    done = 0,
    failed = 1,          ///< tried, failed or aborted; everything is back as it was
    usage = 2,           ///< wrong usage or configuration
    no_daemon = 3,       ///< nobody listens on the control socket
    refused = 4,         ///< not possible in the current state
    deadline = 5,        ///< the deadline passed
    needs_operator = 6,  ///< after the commit point something needs an operator
};

}  // namespace pgsluice::control
