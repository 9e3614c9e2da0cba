#pragma once

#include "control/postgres/pg_client.hpp"

#include <span>
#include <string>
#include <vector>

namespace pgsluice::control {

/// Names of custom settings ("app.tenant") that functions, policies, views, defaults, constraints
/// and role or database settings mention, in any of `databases`. PostgreSQL lists such settings
/// nowhere, and they are part of a session's state. Logs in to each database in turn. Sorted.
step_result<std::vector<std::string>>
find_custom_settings(pg_login login, std::span<const std::string> databases, limits until);

}  // namespace pgsluice::control
