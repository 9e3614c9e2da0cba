#pragma once

#include "control/base/hook.hpp"
#include "control/postgres/pg_client.hpp"

namespace pgsluice::control {

/// Promotes the standby and returns as soon as it accepts writes: by `how`, or by pg_promote() when
/// that has no command.
step_result<void> promote_standby(pg_client& standby, const hook& how, limits until);

}  // namespace pgsluice::control
