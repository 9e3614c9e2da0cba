// Whether the two servers are of one kind: what they were initialised with, and how they are set.
#include "control/preflight/parity.hpp"

#include <fmt/format.h>

#include <map>

namespace pgsluice::control {

namespace {

/// The columns after the first two came with version 15 and 17.
std::string locale_query(int version) {
    const char* provider = version >= 150000 ? "datlocprovider" : "'c'";
    const char* locale = version >= 170000   ? "datlocale"
                         : version >= 150000 ? "daticulocale"
                                             : "NULL";
    const char* stored = version >= 150000 ? "datcollversion" : "NULL";
    const char* actual = version >= 150000 ? "pg_database_collation_actual_version(oid)" : "NULL";
    return fmt::format(
        "SELECT pg_encoding_to_char(encoding), concat_ws(' ', datcollate, datctype, CASE "
        "{}::text WHEN 'i' THEN 'ICU' WHEN 'b' THEN 'builtin' END, {}), {}::text, {}::text "
        "FROM pg_database WHERE datname = current_database()",
        provider,
        locale,
        stored,
        actual
    );
}

struct locale_facts {
    std::string encoding, collation, stored_version, actual_version;
};

step_result<locale_facts> read_locale(pg_client& server, const limits& until) {
    auto row = server.query(locale_query(server.server_version()), until);
    if (!row) {
        return row.error();
    }
    return locale_facts{
        std::string(row->text(0, 0)),
        std::string(row->text(0, 1)),
        std::string(row->text(0, 2)),
        std::string(row->text(0, 3))};
}

/// What our own login overrides has to be read from the files, as it was written there.
constexpr const char* settings_query = R"(
WITH wanted AS (
    SELECT name FROM pg_settings WHERE name IN (
        'TimeZone', 'DateStyle', 'IntervalStyle', 'lc_monetary', 'lc_numeric', 'lc_time',
        'bytea_output', 'xmloption', 'extra_float_digits', 'default_text_search_config',
        'default_transaction_isolation', 'default_transaction_deferrable', 'array_nulls',
        'backslash_quote', 'transform_null_equals', 'check_function_bodies', 'row_security',
        'password_encryption', 'shared_preload_libraries', 'session_preload_libraries',
        'local_preload_libraries', 'fsync', 'full_page_writes', 'wal_level', 'autovacuum',
        'max_connections', 'superuser_reserved_connections', 'max_worker_processes',
        'max_wal_senders', 'max_replication_slots', 'max_locks_per_transaction',
        'max_prepared_transactions', 'shared_buffers', 'work_mem', 'hash_mem_multiplier',
        'maintenance_work_mem', 'effective_cache_size', 'effective_io_concurrency',
        'random_page_cost', 'seq_page_cost', 'cpu_tuple_cost', 'max_parallel_workers',
        'max_parallel_workers_per_gather', 'default_statistics_target', 'join_collapse_limit',
        'from_collapse_limit', 'plan_cache_mode', 'deadlock_timeout', 'max_wal_size',
        'checkpoint_timeout', 'temp_file_limit', 'track_activity_query_size')
    OR name ~ '^enable_'),
files AS (
    SELECT DISTINCT ON (name) name, setting FROM pg_file_settings WHERE applied AND name IN (
        'statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout',
        'idle_session_timeout', 'jit', 'synchronous_commit', 'standard_conforming_strings')
    ORDER BY name, seqno DESC)
SELECT name, reset_val, context, coalesce(unit, '') FROM pg_settings JOIN wanted USING (name)
UNION ALL
SELECT name, coalesce(files.setting, boot_val), context, ''
FROM pg_settings LEFT JOIN files USING (name) WHERE name IN (
    'statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout',
    'idle_session_timeout', 'jit', 'synchronous_commit', 'standard_conforming_strings'))";

struct setting {
    std::string value, context, unit;
};

std::map<std::string, setting, std::less<>> read_settings(const pg_rows& rows) {
    std::map<std::string, setting, std::less<>> found;
    for (std::size_t row = 0; row < rows.size(); ++row) {
        found.emplace(
            rows.text(row, 0),
            setting{
                std::string(rows.text(row, 1)),
                std::string(rows.text(row, 2)),
                std::string(rows.text(row, 3))}
        );
    }
    return found;
}

/// Units such as 8kB are factors of the number.
std::string in_words(const setting& one) {
    return one.unit.empty() || one.value == "-1" ? "'" + one.value + "'"
           : one.unit == "8kB"                   ? one.value + " pages of 8kB"
                                                 : "'" + one.value + one.unit + "'";
}

}  // namespace

step_result<void> check_encoding(const checked_pair& pair, verdicts& found, const limits& until) {
    const auto from = read_locale(pair.from_client, until);
    const auto to = read_locale(pair.to_client, until);
    if (!from || !to) {
        return from ? to.error() : from.error();
    }
    if (from->encoding != to->encoding) {
        found.bad(
            fmt::format(
                "the database is {} on {}, {} on {}",
                from->encoding,
                pair.from.name,
                to->encoding,
                pair.to.name
            ),
            fmt::format(
                "create it anew on {}: CREATE DATABASE ... ENCODING '{}' TEMPLATE template0",
                pair.to.name,
                from->encoding
            )
        );
    }
    return {};
}

step_result<void> check_collation(const checked_pair& pair, verdicts& found, const limits& until) {
    const auto from = read_locale(pair.from_client, until);
    const auto to = read_locale(pair.to_client, until);
    if (!from || !to) {
        return from ? to.error() : from.error();
    }
    const std::string& name = pair.to.name;
    if (from->collation != to->collation) {
        found.bad(
            fmt::format(
                "the database sorts by {} on {}, by {} on {}",
                from->collation,
                pair.from.name,
                to->collation,
                name
            ),
            "nothing where no query relies on the order of text; else create it anew on " + name
        );
    }
    if (to->stored_version != to->actual_version) {
        found.bad(
            fmt::format(
                "{} has version {} of the collation, its indexes were built with {}",
                name,
                to->actual_version,
                to->stored_version
            ),
            fmt::format(
                "on {}: REINDEX DATABASE, then ALTER DATABASE ... REFRESH COLLATION VERSION", name
            )
        );
    } else if (from->actual_version != to->actual_version) {
        found.note(fmt::format(
            "the collation has version {} on {}, {} on {}",
            from->actual_version,
            pair.from.name,
            to->actual_version,
            name
        ));
    }
    return {};
}

step_result<void> check_settings(const checked_pair& pair, verdicts& found, const limits& until) {
    const auto [from, to] = ask_both(pair, settings_query, {}, until);
    if (!from || !to) {
        return from ? to.error() : from.error();
    }
    const auto present = read_settings(*to);
    for (const auto& [name, one] : read_settings(*from)) {
        const auto there = present.find(name);
        if (there == present.end() || there->second.value == one.value) {
            continue;
        }
        const std::string unit = one.unit.empty() || one.unit == "8kB" ? "" : one.unit;
        found.bad(
            fmt::format(
                "{} is {} on {}, {} on {}",
                name,
                in_words(one),
                pair.from.name,
                in_words(there->second),
                pair.to.name
            ),
            fmt::format(
                "on {}: ALTER SYSTEM SET {} = '{}{}'; {}",
                pair.to.name,
                name,
                one.value,
                one.value == "-1" ? "" : unit,
                one.context == "postmaster" ? "and restart it" : "SELECT pg_reload_conf()"
            )
        );
    }
    return {};
}

step_result<void> check_statistics(const checked_pair& pair, verdicts& found, const limits& until) {
    auto bare = pair.to_client.texts(
        "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c "
        "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'm') "
        "AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' "
        "AND c.relpersistence = 'p' AND pg_relation_size(c.oid) > 0 AND NOT EXISTS (SELECT FROM "
        "pg_stats s WHERE s.schemaname = n.nspname AND s.tablename = c.relname) "
        "ORDER BY pg_relation_size(c.oid) DESC",
        {},
        until
    );
    if (!bare) {
        return bare.error();
    }
    if (!bare->empty()) {
        found.bad(
            fmt::format(
                "{} has no statistics about {}: plans are guesses", pair.to.name, first_few(*bare)
            ),
            fmt::format("on {}: ANALYZE", pair.to.name)
        );
    }
    return {};
}

}  // namespace pgsluice::control
