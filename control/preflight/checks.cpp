// What the preflight wants to know of the two servers as such: facts, and the checks that follow
// from them alone.
#include "control/preflight/checks.hpp"

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

/// What a fence that is a setting needs, and superusers have.
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
        "SELECT concat(sourcefile, ' line ', sourceline, ': ', error, ' ' || name) "
        "FROM pg_file_settings "
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

step_result<void> check_login(const checked_pair& pair, verdicts& found, const limits&) {
    // Had one of them refused, there would be nobody to ask the other questions.
    found.good(fmt::format("{} and {} let the admin login in", pair.from.name, pair.to.name));
    return {};
}

step_result<void> check_versions(const checked_pair& pair, verdicts& found, const limits&) {
    const server_facts& from = pair.from;
    const server_facts& to = pair.to;
    const std::string versions = fmt::format(
        "{} is PostgreSQL {}, {} is {}", from.name, from.version_text, to.name, to.version_text
    );
    if (to.version / 10000 < from.version / 10000) {
        found.bad(
            versions + ": older, sessions that use newer settings become pinned",
            "cut over to a server of the same or a later version"
        );
    } else {
        found.good(versions);
    }
    return {};
}

step_result<void> check_old_server(const checked_pair& pair, verdicts& found, const limits&) {
    if (pair.from.in_recovery) {
        found.bad(
            pair.from.name + " is in recovery: it is a standby",
            "route the service to the primary first: sluicectl retarget PRIMARY"
        );
    }
    return {};
}

step_result<void> check_new_server(const checked_pair& pair, verdicts& found, const limits&) {
    const bool standby_wanted = pair.replication == replication_kind::physical;
    if (pair.to.in_recovery != standby_wanted) {
        found.bad(
            pair.to.name +
                (pair.to.in_recovery ? " is a standby" : " is not in recovery: no standby"),
            "set replication.kind in the configuration to what these servers are"
        );
    }
    return {};
}

step_result<void> check_one_server(const checked_pair& pair, verdicts& found, const limits&) {
    if (!is_same_server(pair.from, pair.to)) {
        return {};
    }
    const std::string text =
        pair.from.name + " and " + pair.to.name + " are one and the same running server";
    if (pair.replication == replication_kind::none) {
        found.note(text + ": nothing will be fenced");
    } else {
        found.bad(text, "mend the addresses of the backends in the configuration");
    }
    return {};
}

step_result<void> check_connections(const checked_pair& pair, verdicts& found, const limits&) {
    const std::int64_t room = pair.to.connections_max - pair.to.connections_used;
    const std::uint32_t coming = pair.expected.sessions;
    const std::string text =
        fmt::format("{} has room for {}, {} will come", pair.to.name, room, coming);
    if (room >= static_cast<std::int64_t>(coming)) {
        found.good(text);
    } else {
        found.bad(
            text,
            fmt::format(
                "on {}: ALTER SYSTEM SET max_connections = {}, and restart it",
                pair.to.name,
                pair.to.connections_max + coming
            )
        );
    }
    return {};
}

step_result<void> check_read_only(const checked_pair& pair, verdicts& found, const limits&) {
    constexpr const char* mend =
        "ALTER SYSTEM RESET default_transaction_read_only; SELECT pg_reload_conf()";
    if (pair.to.read_only_by_default && pair.expected.to_fence) {
        found.good(
            pair.to.name + " is read-only since an earlier cutover, whose fence is taken down"
        );
    } else if (pair.to.read_only_by_default) {
        found.bad(
            pair.to.name + " has default_transaction_read_only = on: clients could not write",
            fmt::format("on {}, if an earlier cutover left it so: {}", pair.to.name, mend)
        );
    }
    if (pair.from.read_only_by_default) {
        found.note(
            pair.from.name + " has default_transaction_read_only = on already",
            fmt::format("on {}: {}", pair.from.name, mend)
        );
    }
    return {};
}

step_result<void> check_prepared(const checked_pair& pair, verdicts& found, const limits&) {
    if (pair.from.prepared_transactions > 0) {
        found.bad(
            fmt::format(
                "{} has {} prepared transactions", pair.from.name, pair.from.prepared_transactions
            ),
            fmt::format(
                "on {}: COMMIT PREPARED or ROLLBACK PREPARED each gid of pg_prepared_xacts",
                pair.from.name
            )
        );
    }
    return {};
}

step_result<void> check_privileges(const checked_pair& pair, verdicts& found, const limits& until) {
    const fence_method fence = pair.expected.fence;
    if (fence == fence_method::default_read_only) {
        if (!pair.from.missing_privileges.empty()) {
            found.bad(
                "the admin login on " + pair.from.name + " lacks: " + pair.from.missing_privileges,
                "GRANT them, or use a superuser for `admin`"
            );
        }
        return {};
    }
    if (fence == fence_method::none) {
        return {};
    }
    const bool ends_only = fence == fence_method::command;
    auto may = pair.from_client.query(
        ends_only ? "SELECT pg_has_role('pg_signal_backend', 'USAGE') AND "
                    "pg_has_role('pg_read_all_stats', 'USAGE')"
                  : "SELECT rolsuper FROM pg_roles WHERE rolname = current_user",
        until
    );
    if (!may) {
        return may.error();
    }
    if (!may->truth(0, 0)) {
        found.bad(
            fmt::format(
                "the admin login on {} {}, which this fence needs",
                pair.from.name,
                ends_only ? "lacks the roles pg_signal_backend and pg_read_all_stats"
                          : "is no superuser"
            ),
            "use a superuser for `admin`, or another fence"
        );
    }
    return {};
}

step_result<void> check_configuration(const checked_pair& pair, verdicts& found, const limits&) {
    if (is_setting(pair.expected.fence) && !pair.from.configuration_error.empty()) {
        found.bad(
            pair.from.name + " would refuse a reload: " + pair.from.configuration_error,
            "mend that file: the fence needs a reload"
        );
    }
    return {};
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
