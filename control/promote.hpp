#pragma once

#include "control/pg_client.hpp"

#include <string>

namespace pgsluice::control {

/// How the operator wants a standby promoted, when not by pg_promote().
struct promote_command {
    std::string shell;  ///< given to /bin/sh -c; empty = pg_promote()
    std::string service;
    std::string from;
    host_port from_address;
    std::string to;
    host_port to_address;
};

/// Promotes the standby and returns as soon as it accepts writes. The command runs with
/// PGSLUICE_SERVICE, PGSLUICE_FROM, PGSLUICE_FROM_HOST, PGSLUICE_FROM_PORT and the same of
/// PGSLUICE_TO in its environment; it is killed, with its whole process group, at the deadline.
step_result<void> promote_standby(pg_client& standby, const promote_command& how, limits until);

}  // namespace pgsluice::control
