// The preflight's questions about a streaming standby.
#include "control/preflight/checks.hpp"

#include <fmt/format.h>

namespace pgsluice::control {

namespace {

/// The control file has the timeline only from the first checkpoint after a promotion on.
constexpr const char* timeline_now =
    "SELECT CASE WHEN pg_is_in_recovery() THEN (SELECT timeline_id FROM pg_control_checkpoint()) "
    "ELSE ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int END";

}  // namespace

step_result<void> check_same_cluster(const checked_pair& pair, verdicts& found, const limits&) {
    if (pair.from.system_identifier != pair.to.system_identifier) {
        found.bad(
            fmt::format(
                "{} is no copy of {}: system identifiers differ", pair.to.name, pair.from.name
            ),
            "build the standby from a base backup: pg_basebackup of " + pair.from.name
        );
    }
    return {};
}

step_result<void> check_standby(const checked_pair& pair, verdicts& found, const limits& until) {
    const std::string& to = pair.to.name;
    if (!pair.to.in_recovery || pair.from.system_identifier != pair.to.system_identifier) {
        return {};  // other checks say so
    }
    auto state = pair.to_client.query(
        "SELECT coalesce((SELECT status FROM pg_stat_wal_receiver), 'stopped'), "
        "pg_get_wal_replay_pause_state(), current_setting('recovery_min_apply_delay'), "
        "(SELECT received_tli FROM pg_stat_wal_receiver)",
        until
    );
    auto line = pair.from_client.query(timeline_now, until);
    if (!state || !line) {
        return state ? line.error() : state.error();
    }
    const std::string_view receiver = state->text(0, 0);
    const std::string_view delay = state->text(0, 2);
    if (receiver != "streaming") {
        found.bad(
            fmt::format("the WAL receiver of {} is {}", to, receiver),
            "mend primary_conninfo; the log of " + to + " has the reason"
        );
    }
    if (receiver == "streaming" && state->number(0, 3) != line->number(0, 0)) {
        found.bad(
            fmt::format(
                "{} is on timeline {}, {} on {}",
                pair.from.name,
                line->text(0, 0),
                to,
                state->text(0, 3)
            ),
            fmt::format(
                "let {} follow {}: primary_conninfo, recovery_target_timeline = 'latest'; or "
                "rebuild it",
                to,
                pair.from.name
            )
        );
    }
    if (state->text(0, 1) != "not paused") {
        found.bad(
            "replay is paused on " + to, fmt::format("on {}: SELECT pg_wal_replay_resume()", to)
        );
    }
    if (delay != "0") {
        found.bad(
            fmt::format("recovery_min_apply_delay is {} on {}", delay, to),
            fmt::format(
                "on {}: ALTER SYSTEM SET recovery_min_apply_delay = 0; SELECT pg_reload_conf()", to
            )
        );
    }
    if (found.findings() == 0) {
        found.good(to + " streams from " + pair.from.name);
    }
    return {};
}

}  // namespace pgsluice::control
