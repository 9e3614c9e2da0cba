// The preflight's question whether `rollback` will be possible afterwards, without a loss.
#include "control/preflight/checks.hpp"

#include <fmt/format.h>

namespace pgsluice::control {

namespace {

/// Of the server that will publish: what a further subscription takes of it.
constexpr const char* as_publisher =
    "SELECT current_setting('wal_level'), "
    "current_setting('max_replication_slots')::int > (SELECT count(*) FROM pg_replication_slots), "
    "current_setting('max_wal_senders')::int > (SELECT count(*) FROM pg_stat_replication)";

/// Of the server that will subscribe. Each subscription has one worker that applies.
constexpr const char* as_subscriber =
    "SELECT current_setting('max_logical_replication_workers')::int > "
    "(SELECT count(*) FROM pg_stat_subscription WHERE pid IS NOT NULL)";

/// Such settings wait for a restart.
std::string raise(const std::string& server, std::string_view setting, std::string_view value) {
    return fmt::format("on {}: ALTER SYSTEM SET {} = {}; and restart it", server, setting, value);
}

step_result<void>
judge_publisher(pg_client& to, const std::string& name, verdicts& found, const limits& until) {
    auto rows = to.query(as_publisher, until);
    if (!rows) {
        return rows.error();
    }
    if (rows->text(0, 0) != "logical") {
        found.bad(
            fmt::format("nobody can follow {}: its wal_level is {}", name, rows->text(0, 0)),
            raise(name, "wal_level", "'logical'")
        );
    }
    if (!rows->truth(0, 1)) {
        found.bad(
            "nobody can follow " + name + ": all its replication slots are taken",
            raise(name, "max_replication_slots", "...")
        );
    }
    if (!rows->truth(0, 2)) {
        found.bad(
            "nobody can follow " + name + ": all its WAL senders are at work",
            raise(name, "max_wal_senders", "...")
        );
    }
    return {};
}

step_result<void>
judge_subscriber(pg_client& from, const std::string& name, verdicts& found, const limits& until) {
    auto rows = from.query(as_subscriber, until);
    if (!rows) {
        return rows.error();
    }
    if (!rows->truth(0, 0)) {
        found.bad(
            name + " cannot follow: all its logical replication workers are at work",
            raise(name, "max_logical_replication_workers", "...")
        );
    }
    return {};
}

}  // namespace

step_result<void> check_way_back(const checked_pair& pair, verdicts& found, const limits& until) {
    const std::string& old = pair.from.name;
    if (pair.replication != replication_kind::logical) {
        found.good(fmt::format(
            "a rollback would lose writes: {} does not replicate from {}", old, pair.to.name
        ));
        return {};
    }
    if (!pair.expected.way_back) {
        found.note(
            fmt::format(
                "a rollback would lose what is written on {}: replication.reverse is off",
                pair.to.name
            ),
            "replication.reverse: on"
        );
        return {};
    }
    if (auto done = judge_publisher(pair.to_client, pair.to.name, found, until); !done) {
        return done;
    }
    return judge_subscriber(pair.from_client, old, found, until);
}

}  // namespace pgsluice::control
