// Locks on every table that keep others from changing a row, held on one connection.

#include "control/postgres/table_locks.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace pgsluice::control {

namespace {

using std::chrono::milliseconds;

constexpr const char* user_tables =
    "SELECT format('ONLY %I.%I', n.nspname, c.relname) "
    "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND c.oid >= 16384 "
    "AND n.nspname NOT IN ('pg_catalog', 'information_schema')";

bool says(const step_failure& failure, std::string_view sqlstate) {
    return failure.text.find(sqlstate) != std::string::npos;
}

/// Locks the tables of one database; yields how many there are.
step_result<std::size_t> lock_here(pg_client& holder, const limits& until) {
    // An autovacuum in the way is cancelled after deadlock_timeout.
    (void)holder.execute("SET deadlock_timeout = '20ms'", until);
    const auto left = std::chrono::floor<milliseconds>(until.deadline - limits::clock::now());
    const auto patience = std::max(milliseconds{1}, left * 9 / 10);
    auto set = holder.execute(fmt::format("SET lock_timeout = {}", patience.count()), until);
    auto begun = set ? holder.execute("BEGIN", until) : set;
    auto tables = begun ? holder.texts(user_tables, until) : begun.error();
    if (!tables) {
        return tables.error();
    }
    if (tables->empty()) {
        return std::size_t{0};
    }
    auto locked =
        holder.execute(fmt::format("LOCK TABLE {} IN SHARE MODE", fmt::join(*tables, ", ")), until);
    if (!locked && says(locked.error(), "(55P03)")) {
        return step_failure{
            setback::deadline, holder.server() + ": somebody holds a lock on a table", {}, {}};
    }
    return locked ? step_result<std::size_t>(tables->size()) : locked.error();
}

}  // namespace

step_result<std::vector<std::string>> user_databases(pg_client& server, const limits& until) {
    return server.texts(
        "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1", until
    );
}

step_result<table_locks> table_locks::connect(const pg_login& login, limits until) {
    auto client = pg_client::connect(login, until);
    auto databases = client ? user_databases(*client, until) : client.error();
    if (!databases) {
        return databases.error();
    }
    table_locks made;
    for (const std::string& database : *databases) {
        pg_login there = login;
        there.admin.dbname = database;
        there.application_name += ":locks";
        there.options += " -c default_transaction_read_only=off";
        auto holder = pg_client::connect(there, until);
        if (!holder) {
            return holder.error();
        }
        made.holders_.push_back(std::move(*holder));
    }
    return made;
}

step_result<void> table_locks::lock(limits until) {
    tables_ = 0;
    for (pg_client& holder : holders_) {
        auto locked = lock_here(holder, until);
        if (!locked) {
            return locked.error();
        }
        tables_ += *locked;
    }
    return {};
}

std::vector<std::int32_t> table_locks::pids() const {
    std::vector<std::int32_t> pids;
    for (const pg_client& holder : holders_) {
        pids.push_back(holder.backend_pid());
    }
    return pids;
}

step_result<void> expect_locked(pg_client& server, const limits& until) {
    auto tables = server.texts(std::string(user_tables) + " LIMIT 1", until);
    if (!tables || tables->empty()) {
        return tables ? step_result<void>() : tables.error();
    }
    auto begun = server.execute("BEGIN", until);
    if (!begun) {
        return begun;
    }
    const std::string write = "LOCK TABLE " + tables->front() + " IN ROW EXCLUSIVE MODE NOWAIT";
    const auto tried = server.execute(write, until);
    if (auto ended = server.execute("ROLLBACK", until); !ended) {
        return ended;
    }
    if (tried) {
        return step_failure{
            setback::failed, server.server() + ": the tables are not locked after all", {}, {}};
    }
    return says(tried.error(), "(55P03)") ? step_result<void>() : tried;
}

}  // namespace pgsluice::control
