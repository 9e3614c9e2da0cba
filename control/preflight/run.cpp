// Walks the table of checks, for the command `preflight`, for a cutover and for its dry run.
#include "control/preflight/run.hpp"

#include <algorithm>

namespace pgsluice::control {

namespace {

/// One question may take this long, and wait this long for somebody's lock. The search path is set
/// by a statement because what a login trigger may have changed comes after the startup packet;
/// with pg_temp last, every unqualified name and operator is PostgreSQL's own. The rest is how
/// values are written where rows are compared.
constexpr const char* careful =
    "SET search_path = pg_catalog, pg_temp; SET statement_timeout = '5s'; SET lock_timeout = '2s'; "
    "SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET IntervalStyle = 'postgres'; "
    "SET bytea_output = 'hex'; SET extra_float_digits = 1";
constexpr const char* careless = "SET statement_timeout = 0; SET lock_timeout = 0";

/// The steps after the preflight use the same connections, with deadlines of their own.
step_result<void> on_both(const checked_pair& pair, std::string_view settings, limits until) {
    for (pg_client* client : {&pair.from_client, &pair.to_client}) {
        for (std::string_view left = settings; !left.empty();) {
            const std::size_t end = std::min(left.find(';'), left.size());
            if (auto set = client->query(std::string(left.substr(0, end)), until); !set) {
                return set.error();
            }
            left.remove_prefix(std::min(end + 1, left.size()));
        }
    }
    return {};
}

bool is_in_scope(const check& one, replication_kind kind) {
    switch (kind) {
    case replication_kind::none:
        return (one.scope & scope_none) != 0;
    case replication_kind::physical:
        return (one.scope & scope_physical) != 0;
    case replication_kind::logical:
        return (one.scope & scope_logical) != 0;
    }
    return false;
}

step_result<void> run_check(
    const check& one,
    check_level level,
    const checked_pair& pair,
    std::vector<check_row>& rows,
    const limits& until
) {
    if (level == check_level::off) {
        rows.push_back({std::string(one.name()), check_level::off, "switched off", {}});
        return {};
    }
    verdicts found(one.name(), level, rows);
    if (auto done = one.run(pair, found, until); !done) {
        if (!pair.from_client.is_usable() || !pair.to_client.is_usable()) {
            return done;
        }
        found.bad(
            "could not be checked: " + done.error().text,
            "let the admin login read the catalogs, or run it again if it timed out"
        );
    }
    found.close(one.sound);
    return {};
}

}  // namespace

step_result<std::vector<check_row>> run_checks(
    std::span<const check> table,
    const checked_pair& pair,
    const check_levels& levels,
    const limits& until
) {
    if (auto done = on_both(pair, careful, until); !done) {
        return done.error();
    }
    std::vector<check_row> rows;
    for (const check& one : table) {
        if (!is_in_scope(one, pair.replication)) {
            continue;
        }
        const auto chosen = levels.find(one.name());
        const check_level level = chosen == levels.end() ? one.level() : chosen->second;
        if (auto done = run_check(one, level, pair, rows, until); !done) {
            return done.error();
        }
    }
    if (auto done = on_both(pair, careless, until); !done) {
        return done.error();
    }
    return rows;
}

}  // namespace pgsluice::control
