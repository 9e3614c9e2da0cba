// What the catalogs hold that is no part of the schema and still matters to a cutover.
#include "control/base/words.hpp"
#include "control/preflight/parity.hpp"

#include <fmt/format.h>

#include <map>
#include <set>

namespace pgsluice::control {

namespace {

constexpr const char* overrides =
    "SELECT concat_ws(' in ', 'role ' || r.rolname, 'database ' || d.datname) "
    "FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole "
    "LEFT JOIN pg_database d ON d.oid = s.setdatabase "
    "WHERE EXISTS (SELECT FROM unnest(setconfig) c "
    "              WHERE c ~* '^default_transaction_read_only=(off?|f(alse)?|no?|0)$') ORDER BY 1";

step_result<void> find_overrides(pg_client& server, verdicts& found, const limits& until) {
    auto names = server.texts(overrides, {}, until);
    if (!names) {
        return names.error();
    }
    for (const std::string& name : *names) {
        found.bad(
            fmt::format(
                "{}: default_transaction_read_only is off for {}: the fence does not keep sessions "
                "of theirs that bypass the proxy from writing",
                server.server(),
                name
            ),
            fmt::format(
                "on {}: ALTER ROLE or ALTER DATABASE ... RESET default_transaction_read_only",
                server.server()
            )
        );
    }
    return {};
}

/// Nobody can take CONNECT away from them.
step_result<void> find_superusers(pg_client& server, verdicts& found, const limits& until) {
    auto names = server.texts(
        "SELECT quote_ident(rolname) FROM pg_roles WHERE rolsuper AND rolcanlogin "
        "AND rolname <> session_user ORDER BY 1",
        {},
        until
    );
    if (!names) {
        return names.error();
    }
    for (const std::string& name : *names) {
        found.bad(
            fmt::format("superuser {} can still log in to {}", name, server.server()),
            fmt::format(
                "let nothing log in as {0}; or on {1}: ALTER ROLE {0} NOSUPERUSER",
                name,
                server.server()
            )
        );
    }
    return {};
}

/// Types that clients may have cached by number: enums, domains, ranges, composite types.
step_result<std::map<std::string, std::int64_t>>
user_types(pg_client& server, const limits& until) {
    auto found = server.query(
        "SELECT format('%I.%I', n.nspname, t.typname), t.oid FROM pg_type t "
        "JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid "
        "WHERE t.oid >= 16384 AND (t.typtype IN ('e', 'd', 'r', 'b') AND t.typelem = 0 "
        "OR c.relkind = 'c')",
        until
    );
    if (!found) {
        return found.error();
    }
    std::map<std::string, std::int64_t> types;
    for (std::size_t row = 0; row < found->size(); ++row) {
        types.emplace(found->text(row, 0), found->number(row, 1));
    }
    return types;
}

}  // namespace

step_result<void> check_overrides(const checked_pair& pair, verdicts& found, const limits& until) {
    switch (pair.expected.fence) {
    case fence_method::none:
        found.good("no fence is wanted");
        return {};
    case fence_method::command:
        found.good("it is up to fence_command whom it binds");
        return {};
    case fence_method::revoke_connect:
        return find_superusers(pair.from_client, found, until);
    case fence_method::default_read_only:
    case fence_method::lock_tables:
        break;
    }
    if (auto done = find_overrides(pair.from_client, found, until); !done) {
        return done;
    }
    if (pair.replication == replication_kind::physical) {
        return {};  // the catalogs are the same, byte for byte
    }
    return find_overrides(pair.to_client, found, until);
}

step_result<void>
check_type_numbers(const checked_pair& pair, verdicts& found, const limits& until) {
    auto from = user_types(pair.from_client, until);
    auto to = user_types(pair.to_client, until);
    if (!from || !to) {
        return from ? to.error() : from.error();
    }
    std::vector<std::string> differing;
    for (const auto& [name, oid] : *from) {
        const auto there = to->find(name);
        if (there != to->end() && there->second != oid) {
            differing.push_back(name);
        }
    }
    if (!differing.empty()) {
        found.bad(
            "types with another OID on " + pair.to.name + ": " + first_few(differing),
            "nothing for drivers that ask once a connection; restart clients that keep OIDs longer"
        );
    }
    return {};
}

step_result<void>
check_valid_indexes(const checked_pair& pair, verdicts& found, const limits& until) {
    auto invalid = pair.to_client.texts(
        "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT (indisvalid AND indisready) "
        "ORDER BY 1",
        {},
        until
    );
    if (!invalid) {
        return invalid.error();
    }
    for (const std::string& name : *invalid) {
        found.bad(
            fmt::format("index {} on {} is invalid: no query uses it", name, pair.to.name),
            fmt::format("on {}: REINDEX INDEX CONCURRENTLY {}", pair.to.name, name)
        );
    }
    return {};
}

step_result<void> check_passwords(const checked_pair& pair, verdicts& found, const limits& until) {
    const auto [from, to] = ask_both(
        pair,
        "SELECT quote_ident(rolname), rolpassword FROM pg_authid WHERE rolcanlogin ORDER BY 1",
        {},
        until
    );
    if (!from || !to) {
        return from ? to.error() : from.error();
    }
    std::map<std::string, std::string, std::less<>> present;
    for (std::size_t row = 0; row < to->size(); ++row) {
        present.emplace(to->text(row, 0), to->text(row, 1));
    }
    for (std::size_t row = 0; row < from->size(); ++row) {
        const std::string role(from->text(row, 0));
        const auto there = present.find(role);
        if (from->is_null(row, 1) || there == present.end()) {
            continue;  // a role that is missing is another check's
        }
        const std::string mend = fmt::format(
            "copy them: pg_dumpall --roles-only of {}; or on {}: ALTER ROLE {} PASSWORD '...'",
            pair.from.name,
            pair.to.name,
            role
        );
        if (there->second.empty()) {
            found.bad(fmt::format("role {} has no password on {}", role, pair.to.name), mend);
        } else if (there->second != from->text(row, 1)) {
            found.note("role " + role + " has a password of its own, or another salt", mend);
        }
    }
    return {};
}

step_result<void>
check_large_objects(const checked_pair& pair, verdicts& found, const limits& until) {
    const auto [from, to] = ask_both(
        pair, "SELECT oid FROM pg_largeobject_metadata ORDER BY oid LIMIT 100000", {}, until
    );
    if (!from || !to) {
        return from ? to.error() : from.error();
    }
    std::set<std::int64_t> present;
    for (std::size_t row = 0; row < to->size(); ++row) {
        present.insert(to->number(row, 0));
    }
    std::size_t missing = 0;
    for (std::size_t row = 0; row < from->size(); ++row) {
        missing += present.contains(from->number(row, 0)) ? 0 : 1;
    }
    const std::string mend = fmt::format(
        "pg_dump --large-objects --data-only of {}, restored on {}; no replication has them",
        pair.from.name,
        pair.to.name
    );
    if (missing > 0) {
        found.bad(counted(missing, "large object") + " not on " + pair.to.name, mend);
    } else if (from->size() > 0) {
        found.note("logical replication leaves large objects alone: they may have changed", mend);
    }
    return {};
}

step_result<void>
check_unlogged_tables(const checked_pair& pair, verdicts& found, const limits& until) {
    auto filled = pair.from_client.texts(
        "SELECT oid::regclass::text FROM pg_class WHERE relpersistence = 'u' AND relkind = 'r' "
        "AND pg_relation_size(oid) > 0 ORDER BY 1",
        {},
        until
    );
    if (!filled) {
        return filled.error();
    }
    for (const std::string& name : *filled) {
        found.bad(
            name + " is unlogged: its rows stay behind",
            "copy them while nobody writes, or ALTER TABLE ... SET LOGGED on both"
        );
    }
    return {};
}

/// A missing sequence is another check's. Those never drawn from have no value.
step_result<void>
check_sequence_values(const checked_pair& pair, verdicts& found, const limits& until) {
    const auto [from, to] = ask_both(
        pair,
        "SELECT format('%I.%I', schemaname, sequencename), last_value, increment_by > 0, "
        "format('SELECT setval(%L, %s)', format('%I.%I', schemaname, sequencename), last_value) "
        "FROM pg_sequences ORDER BY 1",
        {},
        until
    );
    if (!from || !to) {
        return from ? to.error() : from.error();
    }
    std::map<std::string, std::size_t, std::less<>> present;
    for (std::size_t row = 0; row < to->size(); ++row) {
        present.emplace(to->text(row, 0), row);
    }
    std::size_t behind = 0;
    const bool are_copied = pair.replication == replication_kind::logical;
    for (std::size_t row = 0; row < from->size(); ++row) {
        const auto there = present.find(from->text(row, 0));
        if (there == present.end() || from->is_null(row, 1)) {
            continue;
        }
        const bool is_unused = to->is_null(there->second, 1);
        const std::int64_t ahead = from->number(row, 1) - to->number(there->second, 1);
        if (!is_unused && (from->truth(row, 2) ? ahead <= 0 : ahead >= 0)) {
            continue;
        }
        ++behind;
        if (!are_copied) {
            found.bad(
                fmt::format(
                    "sequence {} is at {} on {}, {} on {}: keys would be given out twice",
                    from->text(row, 0),
                    from->text(row, 1),
                    pair.from.name,
                    is_unused ? "at its start" : to->text(there->second, 1),
                    pair.to.name
                ),
                fmt::format("on {}: {}", pair.to.name, from->text(row, 3))
            );
        }
    }
    if (are_copied) {
        found.good(fmt::format("{} behind: the cutover sets them", counted(behind, "sequence")));
    } else if (behind == 0) {
        found.good("none is behind");
    }
    return {};
}

}  // namespace pgsluice::control
