// The preflight's questions about logical replication: is the new server fed by the old one, by all
// of it, and, for both kinds, is it near enough to catch up.
#include "control/preflight/checks.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace pgsluice::control {

namespace {

using names = std::vector<std::string>;

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

struct subscription_facts {
    bool exists = false;
    bool enabled = false;
    std::string slot;
    std::string publications = "{}";  ///< text[] as text
    bool has_worker = false;
    std::int64_t unsynced = 0;
};

step_result<subscription_facts> read_subscription(const checked_pair& pair, const limits& until) {
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
    subscription_facts facts;
    if (row->size() == 1) {
        facts = {
            true,
            row->truth(0, 0),
            std::string(row->text(0, 1)),
            std::string(row->text(0, 2)),
            row->truth(0, 3),
            row->number(0, 4)};
    }
    return facts;
}

}  // namespace

step_result<void>
check_subscription(const checked_pair& pair, verdicts& found, const limits& until) {
    const auto facts = read_subscription(pair, until);
    if (!facts) {
        return facts.error();
    }
    const std::string& to = pair.to.name;
    const std::string named = fmt::format("subscription {} on {}", pair.subscription, to);
    if (!facts->exists) {
        found.bad(
            named + " does not exist in the admin database",
            "set replication.subscription and admin.dbname in the configuration"
        );
    } else if (!facts->enabled) {
        found.bad(
            named + " is disabled",
            fmt::format("on {}: ALTER SUBSCRIPTION {} ENABLE", to, pair.subscription)
        );
    } else if (!facts->has_worker) {
        found.bad(
            named + " has no running apply worker", "the log of " + to + " has the reason: mend it"
        );
    } else if (facts->unsynced > 0) {
        found.bad(
            fmt::format("{}: {} tables are still being copied", named, facts->unsynced),
            "wait until every pg_subscription_rel.srsubstate is 'r'"
        );
    } else {
        found.good(named + " applies");
    }
    return {};
}

step_result<void> check_slot(const checked_pair& pair, verdicts& found, const limits& until) {
    const auto facts = read_subscription(pair, until);
    if (!facts || facts->slot.empty()) {
        return facts ? step_result<void>() : facts.error();
    }
    const names values{facts->slot};
    auto slot = pair.from_client.query(
        "SELECT active, wal_status FROM pg_replication_slots WHERE slot_name = $1 AND database = "
        "current_database()",
        values,
        until
    );
    if (!slot) {
        return slot.error();
    }
    if (slot->size() == 1 && (slot->text(0, 1) == "lost" || slot->text(0, 1) == "unreserved")) {
        found.bad(
            fmt::format("slot {} has lost the WAL that is still to be sent", facts->slot),
            fmt::format(
                "set up subscription {} on {} anew, with a copy", pair.subscription, pair.to.name
            )
        );
    } else if (slot->size() == 0 || !slot->truth(0, 0)) {
        found.bad(
            fmt::format(
                "slot {} on {} {}",
                facts->slot,
                pair.from.name,
                slot->size() == 0 ? "does not exist: the subscription follows another server"
                                  : "is not in use"
            ),
            fmt::format(
                "on {}: ALTER SUBSCRIPTION {} CONNECTION '...'", pair.to.name, pair.subscription
            )
        );
    }
    return {};
}

namespace {

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

}  // namespace

step_result<void> check_tables(const checked_pair& pair, verdicts& found, const limits& until) {
    const auto facts = read_subscription(pair, until);
    if (!facts) {
        return facts.error();
    }
    const names publications{facts->publications};
    const names subscription{pair.subscription};
    auto published = pair.from_client.texts(published_tables, publications, until);
    auto subscribed = pair.to_client.texts(subscribed_tables, subscription, until);
    auto all = pair.from_client.texts(all_tables, {}, until);
    for (const auto* answer : {&published, &subscribed, &all}) {
        if (!*answer) {
            return answer->error();
        }
    }
    for (const std::string& table : missing_from(*subscribed, *published)) {
        found.bad(
            fmt::format("{} is published, but not followed by {}", table, pair.to.name),
            fmt::format(
                "on {}: ALTER SUBSCRIPTION {} REFRESH PUBLICATION, and wait for the copy",
                pair.to.name,
                pair.subscription
            )
        );
    }
    for (const std::string& table : missing_from(*published, *all)) {
        found.bad(
            table + " is not published: its rows stay behind",
            fmt::format(
                "on {}: ALTER PUBLICATION ... ADD TABLE {}; on {}: ALTER SUBSCRIPTION {} REFRESH "
                "PUBLICATION",
                pair.from.name,
                table,
                pair.to.name,
                pair.subscription
            )
        );
    }
    if (found.findings() == 0) {
        found.good(fmt::format("{} tables are followed", published->size()));
    }
    return {};
}

step_result<void>
check_publication(const checked_pair& pair, verdicts& found, const limits& until) {
    const auto facts = read_subscription(pair, until);
    if (!facts) {
        return facts.error();
    }
    const names publications{facts->publications};
    auto partial = pair.from_client.texts(partial_publications, publications, until);
    if (!partial) {
        return partial.error();
    }
    for (const std::string& name : *partial) {
        found.bad(
            fmt::format("publication {} does not publish every kind of change", name),
            fmt::format(
                "on {}: ALTER PUBLICATION {} SET (publish = 'insert, update, delete, truncate')",
                pair.from.name,
                name
            )
        );
    }
    return {};
}

step_result<std::string> subscribed_publications(const checked_pair& pair, const limits& until) {
    const auto facts = read_subscription(pair, until);
    return facts ? step_result<std::string>(facts->publications) : facts.error();
}

step_result<std::string> subscription_slot(const checked_pair& pair, const limits& until) {
    if (pair.replication != replication_kind::logical) {
        return std::string();
    }
    const auto facts = read_subscription(pair, until);
    return facts ? step_result<std::string>(facts->slot) : facts.error();
}

step_result<void> check_lag(const checked_pair& pair, verdicts& found, const limits& until) {
    constexpr std::int64_t bytes_max = 16 << 20;
    auto at = pair.from_client.query("SELECT pg_current_wal_flush_lsn()::text", until);
    if (!at) {
        return at.error();
    }
    const bool logical = pair.replication == replication_kind::logical;
    const names values{std::string(at->text(0, 0)), pair.subscription};
    auto lag = pair.to_client.query(
        logical ? "SELECT max(pg_wal_lsn_diff($1::pg_lsn, received_lsn))::bigint, round(extract("
                  "epoch FROM clock_timestamp() - max(latest_end_time))) FROM pg_stat_subscription "
                  "WHERE subname = $2 AND relid IS NULL"
                : "SELECT pg_wal_lsn_diff($1::pg_lsn, pg_last_wal_replay_lsn())::bigint, "
                  "round(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())) "
                  "WHERE $2 = $2",
        values,
        until
    );
    if (!lag) {
        return lag.error();
    }
    if (lag->is_null(0, 0)) {
        return {};  // it does not replicate at all: another check says so
    }
    const std::int64_t bytes = std::max<std::int64_t>(lag->number(0, 0), 0);
    const std::string text = fmt::format(
        "{} is {} behind, last message from the subscription worker {} s ago",
        pair.to.name,
        bytes < 10'000 ? fmt::format("{} bytes", bytes) : fmt::format("{} kB", bytes >> 10),
        lag->is_null(0, 1) ? "?" : lag->text(0, 1)
    );
    if (bytes > bytes_max) {
        found.bad(text, "wait, or find what holds it up: long transactions, locks, slow disks");
    } else {
        found.good(text);
    }
    return {};
}

step_result<void>
check_apply_errors(const checked_pair& pair, verdicts& found, const limits& until) {
    if (pair.to.version < 150000) {
        return {};  // no server before counts them
    }
    const names values{pair.subscription};
    auto row = pair.to_client.query(
        "SELECT apply_error_count + sync_error_count FROM pg_stat_subscription_stats "
        "WHERE subname = $1",
        values,
        until
    );
    if (!row) {
        return row.error();
    }
    if (row->size() == 1 && row->number(0, 0) > 0) {
        found.bad(
            fmt::format(
                "subscription {} has failed {} times so far", pair.subscription, row->text(0, 0)
            ),
            fmt::format(
                "see the log of {}; on {}: SELECT pg_stat_reset_subscription_stats(oid) FROM "
                "pg_subscription WHERE subname = '{}'",
                pair.to.name,
                pair.to.name,
                pair.subscription
            )
        );
    }
    return {};
}

step_result<void>
check_publications(const checked_pair& pair, verdicts& found, const limits& until) {
    names own{"{}"};
    if (pair.replication == replication_kind::logical) {
        const auto facts = read_subscription(pair, until);
        if (!facts) {
            return facts.error();
        }
        own = {facts->publications};
    }
    auto wanted = pair.from_client.texts(
        "SELECT format('%I', pubname) FROM pg_publication WHERE pubname <> ALL ($1::text[])",
        own,
        until
    );
    auto present =
        pair.to_client.texts("SELECT format('%I', pubname) FROM pg_publication", {}, until);
    if (!wanted || !present) {
        return wanted ? present.error() : wanted.error();
    }
    for (const std::string& name : missing_from(*present, *wanted)) {
        found.bad(
            fmt::format("publication {} is not on {}: who follows it stops", name, pair.to.name),
            fmt::format("on {}: CREATE PUBLICATION {} ...", pair.to.name, name)
        );
    }
    return {};
}

step_result<void>
check_replica_identity(const checked_pair& pair, verdicts& found, const limits& until) {
    const auto facts = read_subscription(pair, until);
    if (!facts) {
        return facts.error();
    }
    const names publications{facts->publications};
    auto without = pair.from_client.texts(
        "SELECT DISTINCT c.oid::regclass::text FROM pg_publication_tables t "
        "JOIN pg_namespace n ON n.nspname = t.schemaname "
        "JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename "
        "WHERE t.pubname = ANY ($1::text[]) AND c.relkind = 'r' AND (c.relreplident = 'n' "
        "OR c.relreplident = 'd' AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid "
        "AND i.indisprimary)) ORDER BY 1",
        publications,
        until
    );
    if (!without) {
        return without.error();
    }
    for (const std::string& name : *without) {
        found.bad(
            name + " has no replica identity: UPDATE and DELETE fail while it is published",
            fmt::format("on {}: ALTER TABLE {} REPLICA IDENTITY FULL", pair.from.name, name)
        );
    }
    return {};
}

}  // namespace pgsluice::control
