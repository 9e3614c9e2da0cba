// What SHOW shows with PgBouncer's columns, and the table of everything that it shows. What is not
// known here is NULL, what is not counted 0; docs/console.md says which.
#include "control/console/show.hpp"

#include "control/base/json_fields.hpp"

#include <boost/json/value.hpp>

#include <algorithm>
#include <cstdio>
#include <map>
#include <set>
#include <unistd.h>

namespace pgsluice::control {
namespace {

using protocol::column_type;
using protocol::console_column;
using protocol::console_row;
using std::chrono::milliseconds;

constexpr column_type text = column_type::text;
constexpr column_type int4 = column_type::int4;
constexpr column_type int8 = column_type::int8;

constexpr console_column database_columns[] = {
    {"name", text},
    {"host", text},
    {"port", int4},
    {"database", text},
    {"force_user", text},
    {"pool_size", int4},
    {"min_pool_size", int4},
    {"reserve_pool_size", int4},
    {"server_lifetime", int4},
    {"pool_mode", text},
    {"load_balance_hosts", text},
    {"max_connections", int4},
    {"current_connections", int4},
    {"max_client_connections", int4},
    {"current_client_connections", int4},
    {"paused", int4},
    {"disabled", int4},
};
constexpr console_column pool_columns[] = {
    {"database", text},
    {"user", text},
    {"cl_active", int4},
    {"cl_waiting", int4},
    {"cl_active_cancel_req", int4},
    {"cl_waiting_cancel_req", int4},
    {"sv_active", int4},
    {"sv_active_cancel", int4},
    {"sv_being_canceled", int4},
    {"sv_idle", int4},
    {"sv_used", int4},
    {"sv_tested", int4},
    {"sv_login", int4},
    {"maxwait", int4},
    {"maxwait_us", int4},
    {"pool_mode", text},
    {"load_balance_hosts", text},
};
constexpr console_column peer_columns[] = {
    {"peer_id", int4}, {"host", text}, {"port", int4}, {"pool_size", int4}};
constexpr console_column peer_pool_columns[] = {
    {"peer_id", int4},
    {"cl_active_cancel_req", int4},
    {"cl_waiting_cancel_req", int4},
    {"sv_active_cancel", int4},
    {"sv_login", int4},
};
constexpr console_column list_columns[] = {{"list", text}, {"items", int4}};
constexpr console_column user_columns[] = {
    {"name", text},
    {"pool_size", text},
    {"reserve_pool_size", text},
    {"pool_mode", text},
    {"max_user_connections", int4},
    {"current_connections", int4},
    {"max_user_client_connections", int4},
    {"current_client_connections", int4},
};
constexpr console_column memory_columns[] = {
    {"name", text}, {"size", int4}, {"used", int4}, {"free", int4}, {"memtotal", int4}};
constexpr console_column state_columns[] = {{"key", text}, {"value", text}};
constexpr console_column host_columns[] = {{"hostname", text}, {"ttl", int8}, {"addrs", text}};
constexpr console_column zone_columns[] = {{"zonename", text}, {"serial", int8}, {"count", int4}};
constexpr console_column version_columns[] = {{"version", text}};

std::string number(std::size_t n) {
    return std::to_string(n);
}

/// One (database, user) pair, as PgBouncer has a pool for each.
struct pool_counts {
    std::size_t clients = 0;
    std::size_t waiting = 0;
    std::size_t servers = 0;
    std::size_t logging_in = 0;
    milliseconds longest_wait{0};
};
using pools = std::map<std::pair<std::string, std::string>, pool_counts>;

pools pools_of(const std::vector<proxy::session_info>& sessions) {
    pools counts;
    for (const proxy::session_info& each : sessions) {
        if (each.phase == proxy::session_phase::startup) {
            continue;  // nobody knows yet who it is
        }
        pool_counts& pool = counts[{each.database, each.user}];
        const bool is_login = each.phase == proxy::session_phase::login;
        pool.clients += each.waits || is_login ? 0 : 1;
        pool.waiting += each.waits || is_login ? 1 : 0;
        pool.servers += each.backend.empty() ? 0 : 1;
        pool.logging_in += is_login ? 1 : 0;
        pool.longest_wait =
            std::max(pool.longest_wait, each.waits ? each.phase_age : milliseconds{0});
    }
    return counts;
}

bool is_paused(const boost::json::object& status) {
    const std::string gate = text_in(status, "gate");
    return gate == "paused" || gate == "draining";
}

/// One row: the service is what clients reach under whatever database name they give.
console_rows databases(const console_sources& from) {
    const auto service = from.service();
    const boost::json::object status = from.status();
    const auto sessions = from.sessions();
    const backend_config* const at = service->find_backend(text_in(status, "route"));
    const auto servers = std::count_if(sessions.begin(), sessions.end(), [](const auto& each) {
        return !each.backend.empty();
    });
    const std::string clients_max = number(service->max_connections);
    return {console_row{
        service->name,
        at == nullptr ? "" : at->address.host,
        at == nullptr ? "0" : number(at->address.port),
        at == nullptr || at->dbname.empty() ? std::nullopt : std::optional(at->dbname),
        at == nullptr || at->login.user.empty() ? std::nullopt : std::optional(at->login.user),
        clients_max,
        "0",
        "0",
        "0",
        "session",
        std::nullopt,
        clients_max,
        std::to_string(servers),
        clients_max,
        number(sessions.size()),
        is_paused(status) ? "1" : "0",
        text_in(status, "new_clients") == "refused" ? "1" : "0"}};
}

console_rows pool_rows(const console_sources& from) {
    constexpr auto second = std::chrono::seconds(1);
    console_rows rows;
    for (const auto& [key, pool] : pools_of(from.sessions())) {
        const auto us = std::chrono::microseconds(pool.longest_wait % second);
        rows.push_back(
            {key.first,
             key.second,
             number(pool.clients),
             number(pool.waiting),
             "0",
             "0",
             number(pool.servers),
             "0",
             "0",
             "0",
             "0",
             "0",
             number(pool.logging_in),
             std::to_string(pool.longest_wait / second),
             std::to_string(us.count()),
             "session",
             std::nullopt}
        );
    }
    return rows;
}

console_rows lists(const console_sources& from) {
    const auto sessions = from.sessions();
    std::set<std::string> users;
    std::size_t logging_in = 0;
    std::size_t servers = 0;
    for (const proxy::session_info& each : sessions) {
        users.insert(each.user);
        logging_in += each.phase == proxy::session_phase::startup ? 1 : 0;
        servers += each.backend.empty() ? 0 : 1;
    }
    users.erase("");
    return {
        {"databases", "1"},
        {"users", number(users.size())},
        {"peers", "0"},
        {"pools", number(pools_of(sessions).size())},
        {"peer_pools", "0"},
        {"free_clients", "0"},
        {"used_clients", number(sessions.size() - logging_in)},
        {"login_clients", number(logging_in)},
        {"free_servers", "0"},
        {"used_servers", number(servers)},
        {"dns_names", number(from.names().size())},
        {"dns_zones", "0"},
        {"dns_queries", "0"},
        {"dns_pending", "0"},
    };
}

/// Those who are connected; whom the service lets in beyond them is for its login method to say.
console_rows users(const console_sources& from) {
    std::map<std::string, pool_counts> counts;
    for (const auto& [key, pool] : pools_of(from.sessions())) {
        counts[key.second].clients += pool.clients + pool.waiting;
        counts[key.second].servers += pool.servers;
    }
    console_rows rows;
    for (const auto& [name, count] : counts) {
        rows.push_back(
            {name,
             std::nullopt,
             std::nullopt,
             std::nullopt,
             "0",
             number(count.servers),
             "0",
             number(count.clients)}
        );
    }
    return rows;
}

/// The process as a whole, in pages: nothing here is taken from pools of its own.
console_rows memory(const console_sources&) {
    unsigned long total = 0;
    unsigned long resident = 0;
    if (std::FILE* const file = std::fopen("/proc/self/statm", "r")) {
        if (std::fscanf(file, "%lu %lu", &total, &resident) != 2) {
            resident = 0;
        }
        std::fclose(file);
    }
    constexpr unsigned long int4_max = 0x7fffffff;
    const auto page = static_cast<unsigned long>(::sysconf(_SC_PAGESIZE));
    return {
        {"resident",
         number(page),
         number(resident),
         "0",
         number(std::min(resident * page, int4_max))}};
}

console_rows state(const console_sources& from) {
    const bool paused = is_paused(from.status());
    return {
        {"active", paused ? "no" : "yes"}, {"paused", paused ? "yes" : "no"}, {"suspended", "no"}};
}

console_rows hosts(const console_sources& from) {
    console_rows rows;
    for (const known_name& each : from.names()) {
        std::string addresses;
        for (const std::string& address : each.addresses) {
            addresses += (addresses.empty() ? "" : ",") + address;
        }
        rows.push_back({each.host, std::nullopt, std::move(addresses)});
    }
    return rows;
}

console_rows version(const console_sources&) {
    return {{"pgsluice " PGSLUICE_VERSION}};
}

console_rows none(const console_sources&) {
    return {};
}

constexpr show_table others[] = {
    {"databases", database_columns, databases, show_scope::each},
    {"pools", pool_columns, pool_rows, show_scope::each},
    {"lists", list_columns, lists, show_scope::sum},
    {"users", user_columns, users, show_scope::each},
    {"mem", memory_columns, memory},
    {"state", state_columns, state},
    {"dns_hosts", host_columns, hosts, show_scope::each},
    {"dns_zones", zone_columns, none},
    {"peers", peer_columns, none},
    {"peer_pools", peer_pool_columns, none},
    {"version", version_columns, version},
};

constexpr driver_setting driver_settings[] = {
    {{"client_encoding", text}, "UTF8"},
    {{"server_encoding", text}, "UTF8"},
    {{"datestyle", text}, "ISO"},
    {{"timezone", text}, "GMT"},
    {{"standard_conforming_strings", text}, "on"},
    {{"default_transaction_isolation", text}, "read committed"},
    {{"transaction_isolation", text}, "read committed"},
    {{"transaction_read_only", text}, "off"},
    {{"server_version", text}, PGSLUICE_VERSION "/pgsluice"},
    {{"is_superuser", text}, "off"},
    {{"integer_datetimes", text}, "on"},
};

}  // namespace

shown_address split_address(std::string_view address) {
    const std::size_t colon = address.rfind(':');
    const std::size_t digits = colon == std::string_view::npos ? address.size() : colon + 1;
    const std::string_view port = address.substr(digits);
    if (port.empty() || port.find_first_not_of("0123456789") != std::string_view::npos) {
        return {std::string(address), "0"};
    }
    std::string_view host = address.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']')) {
        host = host.substr(1, host.size() - 2);
    }
    return {std::string(host), std::string(port)};
}

std::span<const show_table> show_tables() {
    static const auto all = [] {
        std::vector<show_table> tables(std::begin(others), std::end(others));
        for (const auto part : {socket_show_tables(), stats_show_tables(), own_show_tables()}) {
            tables.insert(tables.end(), part.begin(), part.end());
        }
        return tables;
    }();
    return all;
}

const show_table* find_show_table(std::string_view name) {
    const auto tables = show_tables();
    const auto found = std::find_if(tables.begin(), tables.end(), [&](const show_table& each) {
        return each.name == name;
    });
    return found == tables.end() ? nullptr : &*found;
}

const driver_setting* find_driver_setting(std::string_view name) {
    const auto* const found = std::find_if(
        std::begin(driver_settings),
        std::end(driver_settings),
        [&](const driver_setting& each) { return each.column.name == name; }
    );
    return found == std::end(driver_settings) ? nullptr : found;
}

}  // namespace pgsluice::control
