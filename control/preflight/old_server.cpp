// What goes on at the old server that a cutover would meet or leave behind.
#include "control/base/words.hpp"
#include "control/preflight/parity.hpp"

#include <fmt/format.h>

namespace pgsluice::control {

namespace {

/// Transactions that were open this long will not end within a drain.
constexpr const char* long_transactions = R"(
SELECT pid::text, coalesce(usename, backend_type), coalesce(datname, '-'),
       nullif(application_name, ''), host(client_addr), state,
       round(extract(epoch FROM clock_timestamp() - xact_start))::text
FROM pg_stat_activity WHERE xact_start < clock_timestamp() - interval '5 seconds'
AND pid <> pg_backend_pid() AND backend_type IN ('client backend', 'parallel worker')
ORDER BY xact_start LIMIT 100)";

constexpr const char* strangers = R"(
SELECT usename, datname, coalesce(nullif(application_name, ''), '-'),
       coalesce(host(client_addr), 'a local socket'), count(*), min(pid)::text
FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
AND pid <> ALL ($1::int4[]) AND application_name <> current_setting('application_name')
GROUP BY 1, 2, 3, 4 ORDER BY count(*) DESC LIMIT 100)";

constexpr const char* changes_of_schema = R"(
SELECT a.pid::text, usename, left(query, 60),
       (SELECT string_agg(DISTINCT l.relation::regclass::text, ', ') FROM pg_locks l
        WHERE l.pid = a.pid AND l.relation >= 16384 AND l.mode = 'AccessExclusiveLock' AND l.granted)
FROM pg_stat_activity a WHERE datname = current_database() AND a.pid <> pg_backend_pid()
AND backend_type = 'client backend' AND (EXISTS (
    SELECT FROM pg_locks l WHERE l.pid = a.pid AND l.relation >= 16384 AND l.granted
    AND l.mode = 'AccessExclusiveLock' AND l.locktype = 'relation')
    OR EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.pid = a.pid)
    OR EXISTS (SELECT FROM pg_stat_progress_cluster p WHERE p.pid = a.pid)))";

std::string array_text(const std::vector<std::int32_t>& values) {
    return fmt::format("{{{}}}", fmt::join(values, ","));
}

}  // namespace

step_result<void>
check_long_transactions(const checked_pair& pair, verdicts& found, const limits& until) {
    auto rows = pair.from_client.query(long_transactions, until);
    if (!rows) {
        return rows.error();
    }
    for (std::size_t row = 0; row < rows->size(); ++row) {
        found.bad(
            fmt::format(
                "{} in {} is in a transaction for {} s ({}, {}, pid {})",
                rows->text(row, 1),
                rows->text(row, 2),
                rows->text(row, 6),
                rows->text(row, 5),
                rows->text(row, 3),
                rows->text(row, 0)
            ),
            fmt::format(
                "on {}: SELECT pg_terminate_backend({})", pair.from.name, rows->text(row, 0)
            )
        );
    }
    return {};
}

step_result<void>
check_other_sessions(const checked_pair& pair, verdicts& found, const limits& until) {
    if (!pair.expected.ours) {
        return {};
    }
    const std::vector<std::string> values{array_text(pair.expected.ours())};
    auto rows = pair.from_client.query(strangers, values, until);
    if (!rows) {
        return rows.error();
    }
    for (std::size_t row = 0; row < rows->size(); ++row) {
        found.bad(
            fmt::format(
                "{} of {} in {} from {} ({}) past the proxy: the fence ends them",
                counted(static_cast<std::size_t>(rows->number(row, 4)), "session"),
                rows->text(row, 0),
                rows->text(row, 1),
                rows->text(row, 3),
                rows->text(row, 2)
            ),
            fmt::format(
                "connect them to the proxy; or on {}: SELECT pg_terminate_backend({})",
                pair.from.name,
                rows->text(row, 5)
            )
        );
    }
    return {};
}

step_result<void>
check_logical_slots(const checked_pair& pair, verdicts& found, const limits& until) {
    auto rows = pair.from_client.query(
        "SELECT slot_name, plugin, coalesce(active_pid::text, '-') FROM pg_replication_slots "
        "WHERE slot_type = 'logical' AND NOT temporary ORDER BY 1",
        until
    );
    if (!rows) {
        return rows.error();
    }
    const auto own = subscription_slot(pair, until);
    if (!own) {
        return own.error();
    }
    for (std::size_t row = 0; row < rows->size(); ++row) {
        if (rows->text(row, 0) == *own) {
            continue;
        }
        found.bad(
            fmt::format(
                "logical slot {} ({}) is not on {}: its consumer loses its place",
                rows->text(row, 0),
                rows->text(row, 1),
                pair.to.name
            ),
            fmt::format(
                "let its consumer finish; on {}: SELECT pg_drop_replication_slot('{}')",
                pair.from.name,
                rows->text(row, 0)
            )
        );
    }
    return {};
}

step_result<void>
check_running_ddl(const checked_pair& pair, verdicts& found, const limits& until) {
    auto rows = pair.from_client.query(changes_of_schema, until);
    if (!rows) {
        return rows.error();
    }
    for (std::size_t row = 0; row < rows->size(); ++row) {
        found.bad(
            fmt::format(
                "{} changes {}: {}",
                rows->text(row, 1),
                rows->is_null(row, 3) ? "an index or table" : rows->text(row, 3),
                rows->text(row, 2)
            ),
            fmt::format(
                "let it end, and make the change on {}, too; or on {}: SELECT "
                "pg_terminate_backend({})",
                pair.to.name,
                pair.from.name,
                rows->text(row, 0)
            )
        );
    }
    return {};
}

}  // namespace pgsluice::control
