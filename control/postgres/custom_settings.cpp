// One query per database looks through everything the catalogs keep as text.
#include "control/postgres/custom_settings.hpp"

#include <set>

namespace pgsluice::control {

namespace {

constexpr std::string_view mentions = R"sql(
WITH texts(t) AS (
    SELECT prosrc FROM pg_proc WHERE pronamespace <> 11 AND prosrc LIKE '%.%'
    UNION ALL
    SELECT pg_get_function_sqlbody(oid) FROM pg_proc
    WHERE pronamespace <> 11 AND prosqlbody IS NOT NULL
    UNION ALL SELECT pg_get_expr(polqual, polrelid) FROM pg_policy
    UNION ALL SELECT pg_get_expr(polwithcheck, polrelid) FROM pg_policy
    UNION ALL SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef
    UNION ALL SELECT pg_get_constraintdef(oid) FROM pg_constraint
              WHERE contype = 'c' AND connamespace <> 11
    UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgqual IS NOT NULL
    UNION ALL SELECT pg_get_viewdef(c.oid) FROM pg_class c
              JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE relkind IN ('v', 'm')
                AND n.nspname NOT IN ('pg_catalog', 'information_schema')),
found(name) AS (
    SELECT (regexp_matches(
        t,
        '(?:current_setting|set_config)\s*\(\s*E?''([a-z_][\w$]*(?:\.[a-z_][\w$]*)+)''',
        'gi'))[1]
    FROM texts WHERE t ~* 'current_setting|set_config'
    UNION
    SELECT (regexp_matches(
        t,
        '\mset\s+(?:local\s+|session\s+)?([a-z_][\w$]*(?:\.[a-z_][\w$]*)+)\s*(?:=|\mto\M)',
        'gi'))[1]
    FROM texts WHERE t ~* '\mset\M'),
configured(entry) AS (
    SELECT unnest(setconfig) FROM pg_db_role_setting
    UNION ALL SELECT unnest(proconfig) FROM pg_proc WHERE proconfig IS NOT NULL)
SELECT name FROM found
UNION
SELECT split_part(entry, '=', 1) FROM configured
WHERE split_part(entry, '=', 1) LIKE '%.%')sql";

}  // namespace

step_result<std::vector<std::string>>
find_custom_settings(pg_login login, std::span<const std::string> databases, limits until) {
    std::set<std::string> names;
    for (const std::string& database : databases) {
        login.admin.dbname = database;
        auto client = pg_client::connect(login, until);
        if (!client) {
            return client.error();
        }
        auto rows = client->query(std::string(mentions), until);
        if (!rows) {
            return rows.error();
        }
        for (std::size_t row = 0; row < rows->size(); ++row) {
            names.emplace(rows->text(row, 0));
        }
    }
    return std::vector<std::string>(names.begin(), names.end());
}

}  // namespace pgsluice::control
