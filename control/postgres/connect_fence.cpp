// Takes CONNECT from everybody on every database, and gives it back as it was.

#include "control/postgres/connect_fence.hpp"

#include "control/base/sql_quoting.hpp"
#include "control/postgres/table_locks.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace pgsluice::control {

namespace {

constexpr std::string_view grantable = " WITH GRANT OPTION";

/// Without a list of its own a database has PUBLIC's and the owner's default rights.
constexpr const char* grants_now = R"(
SELECT d.datname, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END ||
       CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
FROM pg_database d
CROSS JOIN LATERAL aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
LEFT JOIN pg_roles r ON r.oid = a.grantee
WHERE d.datallowconn AND NOT d.datistemplate AND a.privilege_type = 'CONNECT'
  AND (a.grantee = 0 OR r.rolname IS NOT NULL)
ORDER BY 1, 2)";

constexpr const char* still_let_in = R"(
SELECT format('%I in %I', r.rolname, d.datname)
FROM pg_roles r, pg_database d
WHERE r.rolcanlogin AND NOT r.rolsuper AND d.datallowconn AND NOT d.datistemplate
  AND has_database_privilege(r.oid, d.oid, 'CONNECT')
ORDER BY 1 LIMIT 3)";

constexpr const char* roles_now =
    "SELECT quote_ident(rolname) FROM pg_roles UNION ALL SELECT 'PUBLIC'";

/// `"role" WITH GRANT OPTION` without its end.
std::string role_of(const std::string& grant) {
    const bool is_grantable = grant.ends_with(grantable);
    return grant.substr(0, grant.size() - (is_grantable ? grantable.size() : 0));
}

bool holds(const std::vector<std::string>& list, const std::string& one) {
    return std::find(list.begin(), list.end(), one) != list.end();
}

}  // namespace

step_result<connect_grants> read_connect(pg_client& server, const limits& until) {
    auto rows = server.query(grants_now, until);
    if (!rows) {
        return rows.error();
    }
    connect_grants found;
    for (std::size_t row = 0; row < rows->size(); ++row) {
        found[std::string(rows->text(row, 0))].emplace_back(rows->text(row, 1));
    }
    return found;
}

step_result<void>
revoke_connect(pg_client& server, const connect_grants& grants, const limits& until) {
    for (const auto& [database, list] : grants) {
        std::vector<std::string> roles;
        std::transform(list.begin(), list.end(), std::back_inserter(roles), role_of);
        auto done = server.query(
            fmt::format(
                "REVOKE CONNECT ON DATABASE {} FROM {} CASCADE",
                identifier(database),
                fmt::join(roles, ", ")
            ),
            until
        );
        if (!done) {
            return done.error();
        }
    }
    auto left = server.texts(still_let_in, until);
    if (!left) {
        return left.error();
    }
    if (!left->empty()) {
        return step_failure{
            setback::failed,
            fmt::format("{} still lets in {}", server.server(), fmt::join(*left, ", ")),
            "a database or a grant came meanwhile: try again; or let the owner of the database be "
            "the one who grants CONNECT",
            {}};
    }
    return {};
}

step_result<void>
grant_connect(pg_client& server, const connect_grants& grants, const limits& until) {
    const auto databases = user_databases(server, until);
    const auto roles = databases ? server.texts(roles_now, until) : databases;
    if (!roles) {
        return roles.error();
    }
    for (const auto& [database, list] : grants) {
        if (!holds(*databases, database)) {
            continue;
        }
        for (const std::string& grant : list) {
            if (!holds(*roles, role_of(grant))) {
                continue;
            }
            auto done = server.query(grant_connect_statement(database, grant), until);
            if (!done) {
                return done.error();
            }
        }
    }
    return {};
}

}  // namespace pgsluice::control
