#pragma once

#include "control/postgres/pg_client.hpp"
#include "control/records/fence.hpp"

#include <map>
#include <string>
#include <vector>

namespace pgsluice::control {

/// Who may log in to the databases of a server (GRANT, "Privileges": CONNECT), taken away and given
/// back. Superusers cannot be kept out this way; only one of them can do it.
using connect_grants = std::map<std::string, std::vector<std::string>>;

/// Who is granted CONNECT, by database, each as GRANT takes it behind TO.
step_result<connect_grants> read_connect(pg_client& server, const limits& until);

/// Takes away what `grants` holds, and fails when anybody but a superuser can still log in: a
/// database or a grant that came later is not in `grants`, and would not be given back either.
step_result<void>
revoke_connect(pg_client& server, const connect_grants& grants, const limits& until);

/// Gives it back, except to roles and in databases that are gone; may be repeated.
step_result<void>
grant_connect(pg_client& server, const connect_grants& grants, const limits& until);

}  // namespace pgsluice::control
