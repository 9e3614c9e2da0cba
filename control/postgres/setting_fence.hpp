#pragma once

#include "control/postgres/pg_client.hpp"
#include "control/records/fence.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace pgsluice::control {

/// What the fences around a server that is being left are made of. The setting makes every session
/// read-only by default; one that explicitly asks for read-write transactions is not stopped, and
/// preflight warns of roles that are configured to.

/// What postgresql.auto.conf says about default_transaction_read_only now.
step_result<fence_memory> read_fence_memory(pg_client& old, limits until);

/// Makes new sessions read-only by default; ends nobody.
step_result<void> raise_setting(pg_client& old, limits until);

/// Parses the statements that end_others() runs.
step_result<void> prepare_end_others(pg_client& old, limits until);

/// Returns when every client backend but `ours` that had begun before is gone, and nothing on the
/// server holds a transaction id or a prepared transaction. Yields how many it ended.
step_result<std::int64_t>
end_others(pg_client& old, const std::function<std::vector<std::int32_t>()>& ours, limits until);

/// Tries to write in the session `probe`, which has no settings of its own, until it is refused.
/// Yields a word about a role that is configured to write all the same.
step_result<std::string> expect_read_only(pg_client& probe, limits until);

/// Ends what an earlier, interrupted connection of ours may still be doing there, so that no late
/// statement of it fences again.
step_result<void> end_earlier_sessions_of_ours(pg_client& old, const limits& until);

/// Restores what `memory` says about the setting, after end_earlier_sessions_of_ours().
step_result<void> lower_fence(pg_client& old, const fence_memory& memory, limits until);

/// The same on a server that becomes the new one and was fenced when an earlier cutover left it.
/// Leaves a setting alone that is not the fence's any more, and fails when new sessions would still
/// be read-only, whoever wants that. Says what it did.
step_result<std::string> lift_fence(pg_client& to, const fence_memory& memory, limits until);

}  // namespace pgsluice::control
