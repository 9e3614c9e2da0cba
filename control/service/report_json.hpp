#pragma once

#include "control/commands/outcome.hpp"
#include "control/cutover/runner.hpp"
#include "proxy/model/session_info.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include <span>
#include <string_view>

namespace pgsluice::control {

/// ok, warn, error or off.
std::string_view to_string(check_level level);

/// One object a row: check, level, text, hint.
boost::json::array checks_json(const std::vector<check_row>& checks);

/// The answer to `preflight`: exit 1 when a row is an error.
outcome preflight_outcome(const cutover_request& asked, const std::vector<check_row>& rows);

/// What a cutover or retarget came to, as the answer to its command.
outcome report_outcome(const cutover_request& asked, const cutover_report& report);

/// The answer to `cutover --dry-run`.
outcome rehearsal_outcome(const cutover_request& asked, const rehearsal& found);

/// One row of `sessions`.
boost::json::object session_json(const proxy::session_info& session);

/// How many are `wanted`.
std::size_t count_of(
    const std::vector<proxy::session_info>& sessions, bool (*wanted)(const proxy::session_info&)
);

/// Those that are `wanted` in words, as session_rows() has them.
boost::json::array rows_json(
    const std::vector<proxy::session_info>& sessions, bool (*wanted)(const proxy::session_info&)
);

/// Those that keep an operation from its end.
boost::json::array blockers_json(const std::vector<proxy::session_info>& blockers);

/// One of those that kept a pause from completing: pid, user, database, application, address,
/// transaction age, state, query.
boost::json::object blocker_json(const proxy::session_info& session);

/// The answer to `sessions`: rows, or counts by `backend | state | user | prefix | pin`, with the
/// transactions and bytes (of both directions) of those sessions.
boost::json::object
sessions_json(std::span<const proxy::session_info> sessions, std::string_view by);

/// Counts by state: total, starting, held, idle, active, in_transaction, parked, moving; and of all
/// these, pinned; outside, which are not admitted.
boost::json::object count_sessions(std::span<const proxy::session_info> sessions);

/// What has gone through all of them.
proxy::traffic traffic_of(std::span<const proxy::session_info> sessions);

/// Has an address that is not in the admitted set; of one in startup it is not known for sure.
bool is_outside(const proxy::session_info& session);

/// The network that `prefix` groups an address by: IPv4 /24, IPv6 /64, `unix`.
std::string address_prefix(std::string_view address);

}  // namespace pgsluice::control
