#include "control/table_locks.hpp"

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

step_result<void> run(pg_client& on, const std::string& statement, const limits& until) {
    auto done = on.query(statement, until);
    if (!done) {
        return done.error();
    }
    return {};
}

step_result<std::vector<std::string>> column(const step_result<pg_rows>& rows) {
    if (!rows) {
        return rows.error();
    }
    std::vector<std::string> texts;
    for (std::size_t row = 0; row < rows->size(); ++row) {
        texts.emplace_back(rows->text(row, 0));
    }
    return texts;
}

bool says(const step_failure& failure, std::string_view sqlstate) {
    return failure.text.find(sqlstate) != std::string::npos;
}

/// Locks the tables of one database; yields how many there are.
step_result<std::size_t> lock_here(pg_client& holder, const limits& until) {
    // An autovacuum in the way is cancelled after deadlock_timeout.
    (void)run(holder, "SET deadlock_timeout = '20ms'", until);
    const auto left = std::chrono::floor<milliseconds>(until.deadline - limits::clock::now());
    const auto patience = std::max(milliseconds{1}, left * 9 / 10);
    auto set = run(holder, fmt::format("SET lock_timeout = {}", patience.count()), until);
    auto begun = set ? run(holder, "BEGIN", until) : set;
    auto tables = begun ? column(holder.query(user_tables, until)) : begun.error();
    if (!tables) {
        return tables.error();
    }
    if (tables->empty()) {
        return std::size_t{0};
    }
    auto locked =
        run(holder, fmt::format("LOCK TABLE {} IN SHARE MODE", fmt::join(*tables, ", ")), until);
    if (!locked && says(locked.error(), "(55P03)")) {
        return step_failure{
            setback::deadline, holder.server() + ": somebody holds a lock on a table", {}, {}};
    }
    return locked ? step_result<std::size_t>(tables->size()) : locked.error();
}

}  // namespace

step_result<std::vector<std::string>> user_databases(pg_client& server, const limits& until) {
    return column(server.query(
        "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1", until
    ));
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
    auto tables = column(server.query(std::string(user_tables) + " LIMIT 1", until));
    if (!tables || tables->empty()) {
        return tables ? step_result<void>() : tables.error();
    }
    auto begun = run(server, "BEGIN", until);
    if (!begun) {
        return begun;
    }
    const std::string write = "LOCK TABLE " + tables->front() + " IN ROW EXCLUSIVE MODE NOWAIT";
    const auto tried = run(server, write, until);
    if (auto ended = run(server, "ROLLBACK", until); !ended) {
        return ended;
    }
    if (tried) {
        return step_failure{
            setback::failed, server.server() + ": the tables are not locked after all", {}, {}};
    }
    return says(tried.error(), "(55P03)") ? step_result<void>() : tried;
}

}  // namespace pgsluice::control
