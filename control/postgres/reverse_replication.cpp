// Publication, slot and subscription by which the old server follows the new one after a cutover.

#include "control/postgres/reverse_replication.hpp"

#include "control/base/polling.hpp"
#include "control/base/sql_quoting.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace pgsluice::control {

namespace {

constexpr const char* publication = "pgsluice_way_back";
constexpr std::size_t slot_name_bytes_max = 63;

/// A disabled subscription of ours has `publication`; anybody else's is left alone.
constexpr const char* is_ours_there =
    "SELECT subname FROM pg_subscription WHERE subname = $1 AND NOT subenabled "
    "AND subpublications = ARRAY['pgsluice_way_back']::text[] "
    "AND subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())";

constexpr const char* tables_of =
    "SELECT string_agg(format('%I.%I', n.nspname, c.relname), ', ' ORDER BY c.oid) "
    "FROM pg_subscription s JOIN pg_subscription_rel r ON r.srsubid = s.oid "
    "JOIN pg_class c ON c.oid = r.srrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE s.subname = $1";

/// Moving it backwards would be refused, and it has been moved before when a pause was repeated.
constexpr const char* advance =
    "SELECT pg_replication_slot_advance(slot_name, greatest(confirmed_flush_lsn, "
    "pg_current_wal_flush_lsn())) FROM pg_replication_slots WHERE slot_name = $1";

/// A subscription without a slot can be dropped without reaching the server it came from.
step_result<void> drop_subscription(pg_client& on, const std::string& name, const limits& until) {
    auto done = on.execute(
        fmt::format("ALTER SUBSCRIPTION {} SET (slot_name = NONE)", identifier(name)), until
    );
    if (!done) {
        return done;
    }
    return on.execute(fmt::format("DROP SUBSCRIPTION {}", identifier(name)), until);
}

/// Its walsender takes a moment to notice that the subscriber is gone.
step_result<void> drop_slot(pg_client& on, const std::string& name, const limits& until) {
    const std::vector<std::string> values{name};
    return poll_until(
        [&]() -> step_result<bool> {
            auto rows = on.query(
                "SELECT CASE WHEN active THEN NULL ELSE pg_drop_replication_slot(slot_name) END, "
                "active FROM pg_replication_slots WHERE slot_name = $1",
                values,
                until
            );
            if (!rows) {
                return rows.error();
            }
            return rows->size() == 0 || !rows->truth(0, 1);
        },
        until,
        "the replication slot " + name + " on " + on.server() + " stays in use"
    );
}

step_result<void> publish(pg_client& to, const way_back& wanted, const limits& until) {
    const std::vector<std::string> values{wanted.subscription};
    auto tables = to.query(tables_of, values, until);
    if (!tables) {
        return tables.error();
    }
    if (tables->text(0, 0).empty()) {
        return step_failure{
            setback::failed,
            "subscription " + wanted.subscription + " on " + to.server() + " has no tables",
            fmt::format(
                "on {}: ALTER SUBSCRIPTION {} REFRESH PUBLICATION",
                to.server(),
                identifier(wanted.subscription)
            ),
            {}};
    }
    return to.execute(
        fmt::format("CREATE PUBLICATION {} FOR TABLE {}", publication, tables->text(0, 0)), until
    );
}

step_result<void> make_slot(pg_client& to, const way_back& wanted, const limits& until) {
    const std::vector<std::string> values{wanted.slot};
    auto made =
        to.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", values, until);
    if (!made) {
        return made.error();
    }
    return {};
}

step_result<void> subscribe(pg_client& from, const way_back& wanted, const limits& until) {
    return from.execute(
        fmt::format(
            "CREATE SUBSCRIPTION {} CONNECTION {} PUBLICATION {} WITH (enabled = false, "
            "create_slot = false, slot_name = {}, copy_data = false)",
            identifier(wanted.subscription),
            literal(wanted.conninfo),
            publication,
            literal(wanted.slot)
        ),
        until
    );
}

/// A subscription that is enabled is not yet one that is followed.
step_result<void> await_worker(pg_client& from, const way_back& wanted, const limits& until) {
    const std::vector<std::string> values{wanted.subscription};
    return poll_until(
        [&]() -> step_result<bool> {
            auto rows = from.query(
                "SELECT count(pid) > 0 FROM pg_stat_subscription "
                "WHERE subname = $1 AND relid IS NULL AND received_lsn IS NOT NULL",
                values,
                until
            );
            return rows ? step_result<bool>(rows->truth(0, 0)) : rows.error();
        },
        until,
        "the apply worker on " + from.server() + " does not start; its log has the reason"
    );
}

step_failure explained(step_failure why, const pg_client& from) {
    why.text = "reverse replication could not be prepared: " + why.text;
    if (why.hint.empty()) {
        why.hint = "mend it, so that " + from.server() +
                   " can subscribe, or go without: `replication.reverse: off`";
    }
    return why;
}

}  // namespace

std::string way_back_slot(std::string_view service) {
    std::string name = "pgsluice_";
    for (const char c : service) {
        const bool is_upper = c >= 'A' && c <= 'Z';
        const bool is_plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        name += is_upper ? static_cast<char>(c - 'A' + 'a') : (is_plain ? c : '_');
    }
    return name.substr(0, slot_name_bytes_max);
}

step_result<void>
prepare_way_back(pg_client& from, pg_client& to, const way_back& wanted, limits until) {
    // The publication comes before the slot: decoding sees the catalogs as they were back then.
    step_result<void> done = undo_way_back(from, to, wanted, until);
    done = done ? publish(to, wanted, until) : done;
    done = done ? make_slot(to, wanted, until) : done;
    done = done ? subscribe(from, wanted, until) : done;
    if (!done) {
        return explained(done.error(), from);
    }
    return to.prepare("mark_way_back", advance, until);
}

step_result<void> mark_way_back(pg_client& to, const way_back& wanted, limits until) {
    const std::vector<std::string> values{wanted.slot};
    auto moved = to.run("mark_way_back", values, until);
    if (!moved) {
        return moved.error();
    }
    if (moved->size() == 0) {
        return step_failure{
            setback::failed,
            "the replication slot " + wanted.slot + " on " + to.server() + " is gone",
            {},
            {}};
    }
    return {};
}

namespace {

step_result<void>
turn_round(pg_client& from, pg_client& to, const way_back& wanted, const limits& until) {
    const std::vector<std::string> values{wanted.subscription};
    auto present =
        to.query("SELECT subslotname FROM pg_subscription WHERE subname = $1", values, until);
    if (!present) {
        return present.error();
    }
    // The fence stands on `from`: only this session may write there.
    step_result<void> done = from.execute("SET default_transaction_read_only = off", until);
    if (present->size() > 0 && done) {
        const std::string slot(present->text(0, 0));
        done = slot.empty() ? done : drop_slot(from, slot, until);
        done = done ? drop_subscription(to, wanted.subscription, until) : done;
    }
    if (!done) {
        return done;
    }
    done = from.execute(
        fmt::format("ALTER SUBSCRIPTION {} ENABLE", identifier(wanted.subscription)), until
    );
    return done ? await_worker(from, wanted, until) : done;
}

}  // namespace

step_result<void>
follow_back(pg_client& from, pg_client& to, const way_back& wanted, limits until) {
    auto done = turn_round(from, to, wanted, until);
    if (!done) {
        step_failure why = done.error();
        why.hint = fmt::format(
            "on {0}, in a session with default_transaction_read_only = off: ALTER SUBSCRIPTION {1} "
            "ENABLE; {2} keeps write-ahead log for {0} until then",
            from.server(),
            identifier(wanted.subscription),
            to.server()
        );
        return why;
    }
    return {};
}

step_result<void>
undo_way_back(pg_client& from, pg_client& to, const way_back& wanted, limits until) {
    const std::vector<std::string> values{wanted.subscription};
    auto ours = from.query(is_ours_there, values, until);
    if (!ours) {
        return ours.error();
    }
    step_result<void> done;
    if (ours->size() > 0) {
        done = drop_subscription(from, wanted.subscription, until);
    }
    done = done ? drop_slot(to, wanted.slot, until) : done;
    return done ? to.execute(fmt::format("DROP PUBLICATION IF EXISTS {}", publication), until)
                : done;
}

}  // namespace pgsluice::control
