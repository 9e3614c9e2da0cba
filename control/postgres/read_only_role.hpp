#pragma once

#include "control/base/deadline.hpp"
#include "control/config/config.hpp"
#include "control/postgres/pg_client.hpp"
#include "proxy/model/service_settings.hpp"

#include <string>
#include <vector>

namespace pgsluice::control {

/// Logs in with `login` in each of the databases and looks for what that role, or one that it may
/// SET ROLE to, has the right to write: tables, views, sequences, schemas, databases. In words, at
/// most five a database. Not looked at, as by default every role has them: large objects, and
/// functions that write with the rights of their owner.
step_result<std::vector<std::string>> find_rights_to_write(
    const service_config& service,
    const backend_config& backend,
    const proxy::fixed_login& login,
    const std::vector<std::string>& databases,
    limits until
);

}  // namespace pgsluice::control
