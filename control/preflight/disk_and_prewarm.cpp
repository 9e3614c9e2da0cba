// Room on disks, as far as anybody tells, and what is to be in memory ahead.
#include "control/preflight/checks.hpp"

#include <fmt/format.h>

#include <filesystem>

namespace pgsluice::control {

namespace {

/// The journal is rewritten beside itself when it has grown, and a cutover adds some kB.
constexpr std::uintmax_t state_dir_free_min = 16U << 20U;

/// A slot that keeps more write-ahead log than max_wal_size asks for (System Views,
/// "pg_replication_slots").
constexpr const char* greedy_slots =
    "SELECT slot_name, pg_size_pretty(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN "
    "pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, restart_lsn)), "
    "format('SELECT pg_drop_replication_slot(%L)', slot_name) "
    "FROM pg_replication_slots WHERE wal_status IN ('extended', 'unreserved') ORDER BY 1";

/// By the last ANALYZE: to look at every file takes minutes where there are many.
constexpr const char* data_size = "SELECT pg_size_pretty(sum(greatest(relpages, 0)::bigint) "
                                  "* current_setting('block_size')::bigint) FROM pg_class";
constexpr const char* wal_size = "SELECT pg_size_pretty(sum(size)) FROM pg_ls_waldir()";

void judge_state_dir(const std::string& path, verdicts& found) {
    std::error_code failed;
    const std::filesystem::space_info room = std::filesystem::space(path, failed);
    if (!failed && room.available < state_dir_free_min) {
        found.bad(
            fmt::format("state_dir {} has {} kB left for the journal", path, room.available >> 10U),
            "make room there: a record that cannot be written ends the cutover"
        );
    }
}

step_result<void> judge_slots(pg_client& server, verdicts& found, const limits& until) {
    auto slots = server.query(greedy_slots, until);
    if (!slots) {
        return slots.error();
    }
    for (std::size_t row = 0; row < slots->size(); ++row) {
        found.note(
            fmt::format(
                "slot {} keeps {} of write-ahead log on {}, more than max_wal_size",
                slots->text(row, 0),
                slots->text(row, 1),
                server.server()
            ),
            fmt::format(
                "let its consumer catch up; or on {}: {}", server.server(), slots->text(row, 2)
            )
        );
    }
    return {};
}

/// A figure that the login may not ask for, or not in time, is left out.
std::string used(pg_client& server, const limits& until) {
    const auto data = server.query(data_size, until);
    const auto wal = server.query(wal_size, until);
    return fmt::format(
        "{} has about {} in this database, {} of write-ahead log",
        server.server(),
        data ? data->text(0, 0) : "?",
        wal ? wal->text(0, 0) : "?"
    );
}

}  // namespace

step_result<void> check_disk(const checked_pair& pair, verdicts& found, const limits& until) {
    if (!pair.expected.state_dir.empty()) {
        judge_state_dir(pair.expected.state_dir, found);
    }
    for (pg_client* server : {&pair.from_client, &pair.to_client}) {
        if (auto asked = judge_slots(*server, found, until); !asked) {
            return asked;
        }
    }
    if (found.findings() == 0) {
        const std::string from = used(pair.from_client, until);
        const std::string to = used(pair.to_client, until);
        found.good(from + "; " + to + "; what is free there SQL cannot tell: df");
    }
    return {};
}

step_result<void> check_prewarm(const checked_pair& pair, verdicts& found, const limits& until) {
    const auto& wanted = pair.expected.prewarm;
    if (wanted.empty()) {
        found.good("nothing is to be read ahead");
        return {};
    }
    // A standby gets its extensions from the primary.
    const bool is_standby = pair.to.in_recovery;
    auto installed = pair.to_client.query(
        "SELECT count(*) FROM pg_extension WHERE extname = 'pg_prewarm'", until
    );
    if (!installed) {
        return installed.error();
    }
    if (installed->number(0, 0) == 0) {
        found.bad(
            pair.to.name + " does not have the extension pg_prewarm: nothing is read ahead",
            fmt::format(
                "on {}: CREATE EXTENSION pg_prewarm", is_standby ? pair.from.name : pair.to.name
            )
        );
    }
    for (const std::string& name : wanted) {
        const std::vector<std::string> values{name};
        auto there = pair.to_client.query("SELECT to_regclass($1) IS NOT NULL", values, until);
        if (!there) {
            return there.error();
        }
        if (!there->truth(0, 0)) {
            found.bad(
                fmt::format("prewarm: {} has no relation {}", pair.to.name, name),
                "name it with its schema, as SQL would"
            );
        }
    }
    if (found.findings() == 0) {
        found.good(fmt::format("{} relations are to be read ahead", wanted.size()));
    }
    return {};
}

}  // namespace pgsluice::control
