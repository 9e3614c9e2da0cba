// What the catalogs hold that is no part of the schema and still matters to a cutover.
#include "control/checks.hpp"
#include "control/sequences.hpp"

#include <fmt/format.h>

#include <map>

namespace pgsluice::control {

namespace {

constexpr const char* overrides =
    "SELECT concat_ws(' in ', 'role ' || r.rolname, 'database ' || d.datname) "
    "FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole "
    "LEFT JOIN pg_database d ON d.oid = s.setdatabase "
    "WHERE EXISTS (SELECT FROM unnest(setconfig) c "
    "              WHERE c ~* '^default_transaction_read_only=(off?|f(alse)?|no?|0)$') ORDER BY 1";

step_result<void> find_overrides(pg_client& server, verdicts& found, const limits& until) {
    auto names = text_column(server, overrides, {}, until);
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

step_result<void> check_sequences(const checked_pair& pair, verdicts& found, const limits& until) {
    auto missing = missing_sequences(pair.from_client, pair.to_client, until);
    if (!missing) {
        return missing.error();
    }
    if (!missing->empty()) {
        found.bad("not on " + pair.to.name + ": " + *missing, "CREATE SEQUENCE them there");
    }
    return {};
}

}  // namespace pgsluice::control
