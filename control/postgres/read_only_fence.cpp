// default_transaction_read_only for the whole server; before version 16, whose read-only
// transactions let large objects be changed, also no right to execute what changes them.
#include "control/postgres/read_only_fence.hpp"

#include "control/base/sql_quoting.hpp"
#include "control/postgres/setting_fence.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace pgsluice::control {
namespace {

constexpr int large_objects_are_checked = 160000;

/// Those that PUBLIC may execute, which is what the fence takes away. search_path is pg_catalog.
constexpr const char* open_writers = R"(
SELECT 'pg_catalog.' || p.oid::regprocedure FROM pg_proc p
WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname IN
      ('lo_creat', 'lo_create', 'lo_from_bytea', 'lo_import', 'lo_put', 'lo_truncate',
       'lo_truncate64', 'lo_unlink', 'lowrite')
  AND (p.proacl IS NULL OR EXISTS (SELECT FROM aclexplode(p.proacl) a
                                   WHERE a.grantee = 0 AND a.privilege_type = 'EXECUTE'))
ORDER BY 1)";

constexpr const char* writers_beside = R"(
SELECT format('pid %s, user %s, database %s, application %s, transaction since %s',
              pid, usename, datname, application_name, xact_start)
FROM pg_stat_activity
WHERE backend_type = 'client backend' AND backend_xid IS NOT NULL AND pid <> ALL ($1::int4[])
  AND pid <> pg_backend_pid()
UNION ALL
SELECT format('prepared transaction %L, user %s, database %s', gid, owner, database)
FROM pg_prepared_xacts LIMIT 20)";

std::string on_functions(
    std::string_view verb, const std::vector<std::string>& functions, std::string_view whom
) {
    return fmt::format("{} EXECUTE ON FUNCTION {} {}", verb, fmt::join(functions, ", "), whom);
}

}  // namespace

pg_login server_fence::login_of(const std::string& database, const std::string& name) const {
    pg_login login{
        .server = backend_.name,
        .address = backend_.address,
        .admin = service_.admin,
        .application_name = name,
        .options = "-c default_transaction_read_only=off",
        .tls = backend_.tls};
    if (!database.empty()) {
        login.admin.dbname = database;
    }
    return login;
}

step_result<pg_client>
server_fence::connect(const std::string& database, const std::string& name, limits until) const {
    return pg_client::connect(login_of(database, name), until);
}

step_result<std::vector<std::string>> server_fence::databases(limits until) const {
    auto client = connect("", "pgsluice:" + service_.name, until);
    return client ? user_databases(*client, until) : client.error();
}

step_result<void> server_fence::plan(read_only_record& next, limits until) {
    const std::string name = "pgsluice:" + service_.name;
    auto client = connect("", name, until);
    if (!client) {
        return client.error();
    }
    auto standby = client->query("SELECT pg_is_in_recovery()", until);
    if (!standby) {
        return standby.error();
    }
    if (standby->truth(0, 0)) {
        next.fence = read_only_fence::none;
        return {};
    }
    auto memory = read_fence_memory(*client, until);
    if (!memory) {
        return memory.error();
    }
    next.backend = backend_.name;
    next.memory = *memory;
    next.revoked.clear();
    if (client->server_version() >= large_objects_are_checked) {
        return {};
    }
    auto all = databases(until);
    if (!all) {
        return all.error();
    }
    for (const std::string& database : *all) {
        auto there = connect(database, name, until);
        if (!there) {
            return there.error();
        }
        auto functions = there->texts(open_writers, until);
        if (!functions) {
            return functions.error();
        }
        if (!functions->empty()) {
            next.revoked.emplace(database, std::move(*functions));
        }
    }
    return {};
}

step_result<std::vector<std::string>> server_fence::raise(
    const read_only_record& planned, const std::vector<std::int32_t>& ours, limits until
) {
    const std::string name = "pgsluice:" + service_.name;
    for (const auto& [database, functions] : planned.revoked) {
        auto there = connect(database, name, until);
        if (!there) {
            return there.error();
        }
        auto done = there->execute(on_functions("REVOKE", functions, "FROM PUBLIC"), until);
        auto left = there->texts(open_writers, until);
        if (!done || !left) {
            return done ? left.error() : done.error();
        }
        if (!left->empty()) {
            return step_failure{
                setback::failed,
                backend_.name + ": the admin login cannot revoke EXECUTE on " + left->front(),
                "give it the rights of a superuser, or --fence none",
                {}};
        }
    }
    auto client = connect("", name, until);
    if (!client) {
        return client.error();
    }
    if (auto done = raise_setting(*client, until); !done) {
        return done.error();
    }
    const std::vector<std::string> pids{fmt::format("{{{}}}", fmt::join(ours, ","))};
    return client->texts(writers_beside, pids, until);
}

step_result<table_locks> server_fence::lock_tables(limits until) {
    auto locks = table_locks::connect(login_of("", "pgsluice:" + service_.name), until);
    auto locked = locks ? locks->lock(until) : step_result<void>(locks.error());
    if (!locked) {
        return locked.error();
    }
    return locks;
}

step_result<void> server_fence::lower(const read_only_record& raised, limits until) {
    const std::string name = "pgsluice:" + service_.name;
    const auto all = databases(until);
    if (!all) {
        return all.error();
    }
    for (const auto& [database, functions] : raised.revoked) {
        if (std::find(all->begin(), all->end(), database) == all->end()) {
            continue;  // dropped since
        }
        auto there = connect(database, name, until);
        auto done = there ? there->execute(on_functions("GRANT", functions, "TO PUBLIC"), until)
                          : step_result<void>(there.error());
        if (!done) {
            return done;
        }
    }
    auto client = connect("", name, until);
    if (!client) {
        return client.error();
    }
    return lower_fence(*client, raised.memory, until);
}

}  // namespace pgsluice::control
