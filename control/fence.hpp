#pragma once

#include "control/pg_client.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace pgsluice::control {

/// The fence around a server that is being left: its configuration makes every session read-only by
/// default, and every session that had begun before is ended. A session that explicitly asks for
/// read-write transactions is not stopped; preflight warns of roles that are configured to.

/// What postgresql.auto.conf says about default_transaction_read_only now.
step_result<fence_memory> read_fence_memory(pg_client& old, limits until);

/// Parses the statements that raise_fence() runs.
step_result<void> prepare_fence(pg_client& old, limits until);

/// Returns when new sessions are read-only, every client backend but `ours` is gone, and nothing on
/// the server holds a transaction id or a prepared transaction. Says what was ended.
step_result<std::string>
raise_fence(pg_client& old, const std::function<std::vector<std::int32_t>()>& ours, limits until);

/// Restores what `memory` says, and first ends whatever an earlier, interrupted connection of the
/// same application_name may still be doing there, so that no late statement fences again.
step_result<void> lower_fence(pg_client& old, const fence_memory& memory, limits until);

/// The same on a server that becomes the new one and was fenced when an earlier cutover left it.
/// Leaves a setting alone that is not the fence's any more, and fails when new sessions would still
/// be read-only, whoever wants that. Says what it did.
step_result<std::string> lift_fence(pg_client& to, const fence_memory& memory, limits until);

/// Makes that server read-only again, without ending anybody.
step_result<void> restore_fence(pg_client& to, limits until);

}  // namespace pgsluice::control
