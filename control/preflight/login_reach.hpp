#pragma once

#include "control/preflight/checks.hpp"

#include <string>
#include <string_view>

namespace pgsluice::control {

/// Which wall a login ran into, outermost first: name, tcp, tls, startup, pg_hba, role, password,
/// database, connections.
struct wall {
    std::string_view layer;
    std::string mend;
};

/// Reads it out of what libpq said (in English, as the daemon runs it, except for the server's own
/// words, where SQL keywords and names of files remain).
wall wall_of(std::string_view message, const pg_login& login);

/// Tries a login to the new server for every user and database now connected, without a password:
/// being asked for one means that pg_hba.conf lets the user in.
step_result<void> check_reach(const checked_pair& pair, verdicts& found, const limits& until);

}  // namespace pgsluice::control
