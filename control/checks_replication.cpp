// The preflight's questions about replication: is the new server fed by the old one, by all of it,
// and is it near enough to catch up.
#include "control/checks.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace pgsluice::control {

namespace {

check_row error(std::string name, std::string text, std::string hint) {
    return {std::move(name), check_level::error, std::move(text), std::move(hint)};
}

using names = std::vector<std::string>;

step_result<names>
column(pg_client& server, const std::string& sql, const names& values, const limits& until) {
    auto rows = server.query(sql, values, until);
    if (!rows) {
        return rows.error();
    }
    names found;
    for (std::size_t row = 0; row < rows->size(); ++row) {
        found.emplace_back(rows->text(row, 0));
    }
    return found;
}

/// Those of `wanted` that are not in `present`; both sorted by the server are not sorted by us.
names missing_from(const names& present, const names& wanted) {
    const std::set<std::string> known(present.begin(), present.end());
    names missing;
    std::copy_if(
        wanted.begin(),
        wanted.end(),
        std::back_inserter(missing),
        [&known](const std::string& one) { return !known.contains(one); }
    );
    return missing;
}

}  // namespace

step_result<void> check_physical(const checked_pair& pair, check_rows& rows, limits until) {
    const std::string& to = pair.to.name;
    if (pair.from.system_identifier != pair.to.system_identifier) {
        rows.push_back(error(
            "standby",
            fmt::format("{} is no copy of {}: system identifiers differ", to, pair.from.name),
            "build the standby from a base backup of " + pair.from.name
        ));
        return {};
    }
    if (!pair.to.in_recovery) {
        return {};  // check_roles() said so
    }
    auto state = pair.to_client.query(
        "SELECT coalesce((SELECT status FROM pg_stat_wal_receiver), 'stopped'), "
        "pg_get_wal_replay_pause_state(), current_setting('recovery_min_apply_delay')",
        until
    );
    if (!state) {
        return state.error();
    }
    const std::string_view receiver = state->text(0, 0);
    const std::string_view paused = state->text(0, 1);
    const std::string_view delay = state->text(0, 2);
    if (receiver != "streaming") {
        rows.push_back(error(
            "standby",
            fmt::format("the WAL receiver of {} is {}", to, receiver),
            "see primary_conninfo and the log of " + to
        ));
    } else if (paused != "not paused") {
        rows.push_back(
            error("standby", "replay is paused on " + to, "SELECT pg_wal_replay_resume()")
        );
    } else if (delay != "0") {
        rows.push_back(error(
            "standby",
            fmt::format("recovery_min_apply_delay is {} on {}", delay, to),
            "set it to 0 and reload"
        ));
    } else {
        rows.push_back({"standby", check_level::ok, to + " streams from " + pair.from.name, ""});
    }
    return {};
}

namespace {

struct subscription_facts {
    bool enabled = false;
    std::string slot;
    std::string publications;  ///< text[] as text
    bool has_worker = false;
    std::int64_t unsynced = 0;
};

step_result<void> check_subscription(
    const checked_pair& pair, check_rows& rows, subscription_facts& found, const limits& until
) {
    const names values{pair.subscription};
    auto row = pair.to_client.query(
        "SELECT s.subenabled, s.subslotname, s.subpublications::text, "
        "EXISTS (SELECT FROM pg_stat_subscription w WHERE w.subid = s.oid AND w.relid IS NULL "
        "AND w.pid IS NOT NULL), "
        "(SELECT count(*) FROM pg_subscription_rel r WHERE r.srsubid = s.oid "
        "AND r.srsubstate <> 'r') FROM pg_subscription s WHERE s.subname = $1 "
        "AND s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())",
        values,
        until
    );
    if (!row) {
        return row.error();
    }
    const std::string named = fmt::format("subscription {} on {}", pair.subscription, pair.to.name);
    if (row->size() == 0) {
        rows.push_back(error(
            "subscription", named + " does not exist in the admin database", "see replication:"
        ));
        return {};
    }
    found = {
        row->truth(0, 0),
        std::string(row->text(0, 1)),
        std::string(row->text(0, 2)),
        row->truth(0, 3),
        row->number(0, 4)};
    if (!found.enabled) {
        rows.push_back(
            error("subscription", named + " is disabled", "ALTER SUBSCRIPTION ... ENABLE")
        );
    } else if (!found.has_worker) {
        rows.push_back(error(
            "subscription", named + " has no running apply worker", "see the log of " + pair.to.name
        ));
    } else if (found.unsynced > 0) {
        rows.push_back(error(
            "subscription",
            fmt::format("{}: {} tables are still being copied", named, found.unsynced),
            "wait until every pg_subscription_rel.srsubstate is 'r'"
        ));
    } else {
        rows.push_back({"subscription", check_level::ok, named + " applies", ""});
    }
    return {};
}

step_result<void> check_slot(
    const checked_pair& pair, check_rows& rows, const subscription_facts& found, const limits& until
) {
    const names values{found.slot};
    auto slot = pair.from_client.query(
        "SELECT active FROM pg_replication_slots WHERE slot_name = $1 AND database = "
        "current_database()",
        values,
        until
    );
    if (!slot) {
        return slot.error();
    }
    if (slot->size() == 0 || !slot->truth(0, 0)) {
        rows.push_back(error(
            "slot",
            fmt::format(
                "slot {} on {} {}",
                found.slot,
                pair.from.name,
                slot->size() == 0 ? "does not exist: the subscription follows another server"
                                  : "is not in use"
            ),
            "check the connection string of the subscription"
        ));
    }
    return {};
}

constexpr const char* published_tables =
    "SELECT format('%I.%I', schemaname, tablename) FROM pg_publication_tables "
    "WHERE pubname = ANY ($1::text[])";
constexpr const char* subscribed_tables =
    "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_subscription_rel r "
    "JOIN pg_subscription s ON s.oid = r.srsubid JOIN pg_class c ON c.oid = r.srrelid "
    "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE s.subname = $1";
/// Partitions are replicated through their root or on their own.
constexpr const char* all_tables =
    "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c "
    "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' "
    "AND c.relpersistence = 'p' AND NOT c.relispartition "
    "AND n.nspname NOT IN ('pg_catalog', 'information_schema') "
    "AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass "
    "AND d.objid = c.oid AND d.deptype = 'e') ORDER BY 1";
constexpr const char* partial_publications =
    "SELECT format('%I', pubname) FROM pg_publication WHERE pubname = ANY ($1::text[]) "
    "AND NOT (pubinsert AND pubupdate AND pubdelete AND pubtruncate)";

step_result<void> check_coverage(
    const checked_pair& pair, check_rows& rows, const subscription_facts& found, const limits& until
) {
    const names publications{found.publications};
    auto published = column(pair.from_client, published_tables, publications, until);
    auto subscribed = column(pair.to_client, subscribed_tables, {pair.subscription}, until);
    auto all = column(pair.from_client, all_tables, {}, until);
    auto partial = column(pair.from_client, partial_publications, publications, until);
    for (const auto* answer : {&published, &subscribed, &all, &partial}) {
        if (!*answer) {
            return answer->error();
        }
    }
    const names unsubscribed = missing_from(*subscribed, *published);
    if (!unsubscribed.empty()) {
        rows.push_back(error(
            "tables",
            fmt::format(
                "published but not followed by {}: {}", pair.to.name, first_few(unsubscribed)
            ),
            "ALTER SUBSCRIPTION ... REFRESH PUBLICATION, and wait for the copy"
        ));
    }
    const names unpublished = missing_from(*published, *all);
    if (!unpublished.empty()) {
        rows.push_back(
            {"tables",
             check_level::warning,
             "not published, so their rows stay behind: " + first_few(unpublished),
             "add them to a publication unless that is meant"}
        );
    }
    if (!partial->empty()) {
        rows.push_back(
            {"publication",
             check_level::warning,
             "does not publish every kind of change: " + first_few(*partial),
             ""}
        );
    }
    if (unsubscribed.empty() && unpublished.empty()) {
        rows.push_back(
            {"tables",
             check_level::ok,
             fmt::format("{} tables are followed", published->size()),
             ""}
        );
    }
    return {};
}

}  // namespace

step_result<void> check_logical(const checked_pair& pair, check_rows& rows, limits until) {
    subscription_facts found;
    if (auto done = check_subscription(pair, rows, found, until); !done || found.slot.empty()) {
        return done;
    }
    if (auto done = check_slot(pair, rows, found, until); !done) {
        return done;
    }
    return check_coverage(pair, rows, found, until);
}

}  // namespace pgsluice::control
