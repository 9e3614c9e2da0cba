// Whether the role of a read-only login could write: its rights, as the catalogs have them.

#include "control/postgres/read_only_role.hpp"

namespace pgsluice::control {
namespace {

/// The role's own view of itself, so that no other login is needed. search_path is pg_catalog.
constexpr const char* rights_to_write = R"(
WITH roles AS (
    SELECT oid, rolname, rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE pg_has_role(session_user, oid, 'MEMBER')
), relations AS (
    SELECT c.oid, c.relkind, c.relowner, format('%I.%I', n.nspname, c.relname) AS name
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'f', 'S') AND n.nspname !~ '^pg_'
          AND n.nspname <> 'information_schema'
), findings AS (
    SELECT 1 AS rank, CASE WHEN rolname = session_user THEN 'it is a superuser'
                           ELSE format('it may become the superuser %I', rolname) END AS what
    FROM roles WHERE rolsuper
    UNION ALL
    SELECT 2, format('CREATEROLE or CREATEDB of %I', rolname) FROM roles
    WHERE rolcreaterole OR rolcreatedb
    UNION ALL
    SELECT 2, 'membership in ' || rolname FROM roles
    WHERE rolname IN ('pg_write_server_files', 'pg_execute_server_program')
          AND NOT EXISTS (SELECT FROM roles s WHERE s.rolsuper)
    UNION ALL
    SELECT 3, 'table ' || t.name FROM relations t
    WHERE t.relkind <> 'S' AND EXISTS (
        SELECT FROM roles r
        WHERE r.oid = t.relowner OR has_table_privilege(r.oid, t.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
              OR has_any_column_privilege(r.oid, t.oid, 'INSERT, UPDATE'))
    UNION ALL
    SELECT 4, 'sequence ' || s.name FROM relations s
    WHERE s.relkind = 'S' AND EXISTS (
        SELECT FROM roles r WHERE r.oid = s.relowner
                OR has_sequence_privilege(r.oid, s.oid, 'USAGE, UPDATE'))
    UNION ALL
    SELECT 5, format('CREATE in schema %I', n.nspname) FROM pg_namespace n
    WHERE n.nspname !~ '^pg_' AND EXISTS (
        SELECT FROM roles r WHERE has_schema_privilege(r.oid, n.oid, 'CREATE'))
    UNION ALL
    SELECT 6, 'CREATE in the database' WHERE EXISTS (
        SELECT FROM roles r WHERE has_database_privilege(r.oid, current_database(), 'CREATE'))
)
SELECT what FROM findings ORDER BY rank, what LIMIT 5)";

}  // namespace

step_result<std::vector<std::string>> find_rights_to_write(
    const service_config& service,
    const backend_config& backend,
    const proxy::fixed_login& login,
    const std::vector<std::string>& databases,
    limits until
) {
    std::vector<std::string> all;
    admin_config as;
    as.user = login.user;
    for (const std::string& database : databases) {
        as.dbname = database;
        auto client = pg_client::connect(
            {.server = backend.name,
             .address = backend.address,
             .admin = as,
             .application_name = "pgsluice:" + service.name,
             .tls = backend.tls,
             .password = login.password},
            until
        );
        auto found = client ? client->texts(rights_to_write, until)
                            : step_result<std::vector<std::string>>(client.error());
        if (!found) {
            return found.error();
        }
        for (const std::string& what : *found) {
            all.push_back(what + " (database " + database + ")");
        }
    }
    return all;
}

}  // namespace pgsluice::control
