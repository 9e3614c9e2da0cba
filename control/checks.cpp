// The preflight's questions about the servers themselves; replication has a file of its own.
#include "control/checks.hpp"

#include <fmt/format.h>

namespace pgsluice::control {

namespace {

constexpr const char* facts = R"(
SELECT pg_is_in_recovery(),
       current_setting('server_version'),
       (SELECT system_identifier::text FROM pg_control_system()),
       pg_postmaster_start_time()::text,
       current_setting('max_connections')::int
           - current_setting('superuser_reserved_connections')::int
           - coalesce(current_setting('reserved_connections', true), '0')::int,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
       current_setting('default_transaction_read_only')::bool,
       (SELECT count(*) FROM pg_prepared_xacts))";

/// What raise_fence() and lower_fence() need, and superusers have.
constexpr const char* privileges = R"(
SELECT CASE WHEN rolsuper THEN '' ELSE concat_ws(', ',
    CASE WHEN NOT has_function_privilege('pg_reload_conf()', 'EXECUTE')
         THEN 'EXECUTE ON FUNCTION pg_reload_conf()' END,
    CASE WHEN NOT has_function_privilege('pg_show_all_file_settings()', 'EXECUTE')
         THEN 'EXECUTE ON FUNCTION pg_show_all_file_settings()' END,
    CASE WHEN NOT has_table_privilege('pg_file_settings', 'SELECT')
         THEN 'SELECT ON pg_file_settings' END,
    CASE WHEN NOT pg_has_role('pg_signal_backend', 'USAGE') THEN 'role pg_signal_backend' END,
    CASE WHEN NOT pg_has_role('pg_read_all_stats', 'USAGE') THEN 'role pg_read_all_stats' END)
    END, rolsuper
FROM pg_roles WHERE rolname = current_user)";

constexpr const char* alter_system =
    "SELECT has_parameter_privilege('default_transaction_read_only', 'ALTER SYSTEM')";

step_result<std::string> read_missing_privileges(pg_client& server, const limits& until) {
    auto rows = server.query(privileges, until);
    if (!rows) {
        return rows.error();
    }
    std::string missing(rows->text(0, 0));
    if (rows->truth(0, 1)) {
        return missing;
    }
    bool may_alter = false;
    if (server.server_version() >= 150000) {
        auto granted = server.query(alter_system, until);
        if (!granted) {
            return granted.error();
        }
        may_alter = granted->truth(0, 0);
    }
    if (!may_alter) {
        missing += missing.empty() ? "" : ", ";
        missing += "ALTER SYSTEM ON PARAMETER default_transaction_read_only";
    }
    return missing;
}

/// A pending restart is no error for a reload.
step_result<std::string> read_configuration_error(pg_client& server, const limits& until) {
    auto rows = server.query(
        "SELECT format('%s line %s: %s', sourcefile, sourceline, error) FROM pg_file_settings "
        "WHERE error IS NOT NULL AND error <> 'setting could not be applied' LIMIT 1",
        until
    );
    if (!rows) {
        return rows.error();
    }
    return std::string(rows->size() == 0 ? "" : rows->text(0, 0));
}

}  // namespace

step_result<server_facts> read_facts(pg_client& server, limits until) {
    auto rows = server.query(facts, until);
    if (!rows) {
        return rows.error();
    }
    server_facts found;
    found.name = server.server();
    found.in_recovery = rows->truth(0, 0);
    found.version = server.server_version();
    found.version_text = std::string(rows->text(0, 1));
    found.system_identifier = std::string(rows->text(0, 2));
    found.started_at = std::string(rows->text(0, 3));
    found.connections_max = rows->number(0, 4);
    found.connections_used = rows->number(0, 5);
    found.read_only_by_default = rows->truth(0, 6);
    found.prepared_transactions = rows->number(0, 7);
    auto missing = read_missing_privileges(server, until);
    if (!missing) {
        return missing.error();
    }
    found.missing_privileges = *missing;
    if (!missing->empty()) {
        return found;
    }
    auto broken = read_configuration_error(server, until);
    if (!broken) {
        return broken.error();
    }
    found.configuration_error = *broken;
    return found;
}

bool is_same_server(const server_facts& one, const server_facts& other) {
    // A standby shares its primary's identifier; a postmaster shares its start with nobody.
    return one.system_identifier == other.system_identifier && one.started_at == other.started_at;
}

void check_roles(const checked_pair& pair, check_rows& rows) {
    const server_facts& from = pair.from;
    const server_facts& to = pair.to;
    const std::string versions = fmt::format(
        "{} is PostgreSQL {}, {} is {}", from.name, from.version_text, to.name, to.version_text
    );
    const bool older = to.version / 10000 < from.version / 10000;
    rows.push_back(
        {"versions",
         older ? check_level::warning : check_level::ok,
         versions,
         older ? to.name + " is older: sessions that use newer settings become pinned" : ""}
    );
    if (from.in_recovery) {
        rows.push_back(
            {"old server",
             check_level::error,
             from.name + " is in recovery: it is a standby",
             "route the service to the primary first"}
        );
    }
    const bool standby_wanted = pair.replication == replication_kind::physical;
    if (to.in_recovery != standby_wanted) {
        rows.push_back(
            {"new server",
             check_level::error,
             to.name + (to.in_recovery ? " is a standby" : " is not in recovery: no standby"),
             "replication.kind in the configuration does not describe these servers"}
        );
    }
    if (is_same_server(from, to)) {
        const bool fine = pair.replication == replication_kind::none;
        rows.push_back(
            {"one server",
             fine ? check_level::warning : check_level::error,
             from.name + " and " + to.name + " are one and the same running server",
             fine ? "nothing will be fenced" : "check the addresses of the backends"}
        );
    }
}

void check_capacity(const checked_pair& pair, check_rows& rows) {
    const std::int64_t room = pair.to.connections_max - pair.to.connections_used;
    const bool enough = room >= static_cast<std::int64_t>(pair.sessions_to_come);
    rows.push_back(
        {"connections",
         enough ? check_level::ok : check_level::error,
         fmt::format("{} has room for {}, {} will come", pair.to.name, room, pair.sessions_to_come),
         enough ? "" : "raise max_connections on " + pair.to.name}
    );
}

void check_fence(const checked_pair& pair, check_rows& rows) {
    const server_facts& from = pair.from;
    if (pair.to.read_only_by_default && pair.is_to_fence_ours) {
        rows.push_back(
            {"read-only",
             check_level::ok,
             pair.to.name + " is read-only since an earlier cutover, whose fence is taken down",
             ""}
        );
    } else if (pair.to.read_only_by_default) {
        rows.push_back(
            {"read-only",
             check_level::error,
             pair.to.name + " has default_transaction_read_only = on: clients could not write",
             "if an earlier cutover left it so: ALTER SYSTEM RESET default_transaction_read_only; "
             "SELECT pg_reload_conf()"}
        );
    }
    if (from.read_only_by_default) {
        rows.push_back(
            {"read-only",
             check_level::warning,
             from.name + " has default_transaction_read_only = on already",
             ""}
        );
    }
    if (from.prepared_transactions > 0) {
        rows.push_back(
            {"prepared transactions",
             check_level::error,
             fmt::format("{} has {} prepared transactions", from.name, from.prepared_transactions),
             "COMMIT PREPARED or ROLLBACK PREPARED them, see pg_prepared_xacts"}
        );
    }
    if (!from.missing_privileges.empty()) {
        rows.push_back(
            {"privileges",
             check_level::error,
             "the admin login on " + from.name + " lacks: " + from.missing_privileges,
             "GRANT them, or use a superuser for `admin`"}
        );
    } else if (!from.configuration_error.empty()) {
        rows.push_back(
            {"configuration",
             check_level::error,
             from.name + " would refuse a reload: " + from.configuration_error,
             "mend the file; the fence needs a reload"}
        );
    } else {
        rows.push_back({"fence", check_level::ok, from.name + " can be made read-only", ""});
    }
}

std::string first_few(const std::vector<std::string>& names) {
    constexpr std::size_t few = 5;
    const std::size_t shown = std::min(few, names.size());
    std::string text = fmt::format(
        "{}", fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), ", ")
    );
    return names.size() > few ? fmt::format("{} and {} more", text, names.size() - few) : text;
}

}  // namespace pgsluice::control
