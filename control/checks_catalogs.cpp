// The preflight's questions about what differs in the catalogs: roles, types, sequences.
#include "control/checks.hpp"
#include "control/sequences.hpp"

#include <fmt/format.h>

#include <map>

namespace pgsluice::control {

namespace {

step_result<void> check_overrides(pg_client& server, check_rows& rows, const limits& until) {
    auto found = server.query(
        "SELECT concat_ws(' in ', 'role ' || r.rolname, 'database ' || d.datname) "
        "FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole "
        "LEFT JOIN pg_database d ON d.oid = s.setdatabase "
        "WHERE EXISTS (SELECT FROM unnest(setconfig) c "
        "              WHERE c ~* '^default_transaction_read_only=(off?|f(alse)?|no?|0)$') ORDER "
        "BY 1",
        until
    );
    if (!found) {
        return found.error();
    }
    std::vector<std::string> names;
    for (std::size_t row = 0; row < found->size(); ++row) {
        names.emplace_back(found->text(row, 0));
    }
    if (!names.empty()) {
        rows.push_back(
            {"read-only overrides",
             check_level::warning,
             fmt::format(
                 "{}: default_transaction_read_only is off for {}",
                 server.server(),
                 first_few(names)
             ),
             "sessions of theirs that bypass the proxy are not kept from writing by the fence"}
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

step_result<void> check_types(const checked_pair& pair, check_rows& rows, const limits& until) {
    auto from = user_types(pair.from_client, until);
    auto to = user_types(pair.to_client, until);
    if (!from || !to) {
        return from ? to.error() : from.error();
    }
    std::vector<std::string> differing;
    for (const auto& [name, oid] : *from) {
        const auto there = to->find(name);
        if (there == to->end() || there->second != oid) {
            differing.push_back(name);
        }
    }
    if (!differing.empty()) {
        rows.push_back(
            {"type numbers",
             check_level::warning,
             "types with another OID on " + pair.to.name + ": " + first_few(differing),
             "clients that cached the OIDs (most drivers ask once a connection) may need to "
             "reconnect"}
        );
    }
    return {};
}

}  // namespace

step_result<void> check_catalogs(const checked_pair& pair, check_rows& rows, limits until) {
    if (auto done = check_overrides(pair.from_client, rows, until); !done) {
        return done;
    }
    if (pair.replication == replication_kind::physical) {
        return {};  // the catalogs are the same, byte for byte
    }
    if (auto done = check_overrides(pair.to_client, rows, until); !done) {
        return done;
    }
    if (auto done = check_types(pair, rows, until); !done) {
        return done;
    }
    auto missing = missing_sequences(pair.from_client, pair.to_client, until);
    if (!missing) {
        return missing.error();
    }
    if (!missing->empty()) {
        rows.push_back(
            {"sequences",
             check_level::warning,
             "not on " + pair.to.name + ": " + *missing,
             "create them there if applications use them"}
        );
    }
    return {};
}

}  // namespace pgsluice::control
