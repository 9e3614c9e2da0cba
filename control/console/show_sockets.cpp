// SHOW CLIENTS, SERVERS and SOCKETS, with PgBouncer's columns. Each session has a connection to its
// client and, from its login on, one to its server.
#include "control/console/show.hpp"

#include <array>
#include <ctime>

namespace pgsluice::control {
namespace {

using protocol::column_type;
using protocol::console_column;
using protocol::console_row;
using std::chrono::milliseconds;

constexpr column_type text = column_type::text;
constexpr column_type int4 = column_type::int4;

constexpr std::size_t plain_columns = 21;
constexpr console_column socket_columns[] = {
    {"type", text},
    {"user", text},
    {"database", text},
    {"replication", text},
    {"state", text},
    {"addr", text},
    {"port", int4},
    {"local_addr", text},
    {"local_port", int4},
    {"connect_time", text},
    {"request_time", text},
    {"wait", int4},
    {"wait_us", int4},
    {"close_needed", int4},
    {"ptr", text},
    {"link", text},
    {"remote_pid", int4},
    {"tls", text},
    {"application_name", text},
    {"prepared_statements", int4},
    {"id", int4},
    // SHOW SOCKETS alone
    {"recv_pos", int4},
    {"pkt_pos", int4},
    {"pkt_remain", int4},
    {"send_pos", int4},
    {"send_remain", int4},
    {"pkt_avail", int4},
    {"send_avail", int4},
};

std::string time_text(std::chrono::system_clock::time_point at) {
    const std::time_t seconds = std::chrono::system_clock::to_time_t(at);
    std::tm parts{};
    ::gmtime_r(&seconds, &parts);
    char out[40];
    const std::size_t length = std::strftime(out, sizeof out, "%Y-%m-%d %H:%M:%S UTC", &parts);
    return std::string(out, length);
}

std::string_view client_state(const proxy::session_info& each) {
    if (each.waits || each.phase == proxy::session_phase::login ||
        each.phase == proxy::session_phase::held) {
        return "waiting";
    }
    const bool works = each.phase == proxy::session_phase::active ||
                       each.phase == proxy::session_phase::in_transaction;
    return works ? "active" : "idle";
}

/// What both ends of a session have in common, as its client's row.
console_row row_of(const proxy::session_info& each, const console_sources& from) {
    constexpr auto second = std::chrono::seconds(1);
    const auto now = from.now();
    const shown_address at = split_address(each.address);
    const milliseconds wait = each.waits ? each.phase_age : milliseconds{0};
    const std::string id = std::to_string(each.id);
    return {
        "C",
        each.user,
        each.database,
        std::string(each.replication),
        std::string(client_state(each)),
        at.host,
        at.port,
        std::nullopt,
        std::nullopt,
        time_text(now - each.age),
        time_text(now - each.phase_age),
        std::to_string(wait / second),
        std::to_string(std::chrono::microseconds(wait % second).count()),
        each.is_draining ? "1" : "0",
        "client-" + id,
        each.backend.empty() ? "" : "server-" + id,
        "0",
        each.is_encrypted ? "TLS" : "",
        each.application,
        std::nullopt,
        id};
}

console_row server_row(const proxy::session_info& each, const console_sources& from) {
    console_row row = row_of(each, from);
    const auto service = from.service();
    const backend_config* const backend = service->find_backend(each.backend);
    row[0] = "S";
    row[4] = "active";  // it belongs to its client, whether that works or not
    row[5] = backend == nullptr ? "" : backend->address.host;
    row[6] = backend == nullptr ? "0" : std::to_string(backend->address.port);
    row[9] = std::nullopt;  // it may have been moved since its client came
    row[11] = row[12] = "0";
    row[13] = each.is_draining || each.is_to_reconnect ? "1" : "0";
    std::swap(row[14], row[15]);
    row[16] = std::to_string(each.backend_pid);
    row[17] = std::nullopt;
    return row;
}

enum class wanted : std::uint8_t { clients, servers, both, working };

template <wanted What>
console_rows rows_of(const console_sources& from) {
    console_rows rows;
    for (const proxy::session_info& each : from.sessions()) {
        const bool is_known = each.phase != proxy::session_phase::startup;
        const bool is_wanted = What != wanted::working || client_state(each) == "active";
        if (is_known && is_wanted && What != wanted::servers) {
            rows.push_back(row_of(each, from));
        }
        if (!each.backend.empty() && is_wanted && What != wanted::clients) {
            rows.push_back(server_row(each, from));
        }
    }
    if (What == wanted::both || What == wanted::working) {
        for (console_row& row : rows) {
            row.resize(std::size(socket_columns), std::nullopt);
        }
    }
    return rows;
}

constexpr auto plain = std::span(socket_columns).first<plain_columns>();

constexpr show_table tables[] = {
    {"clients", plain, rows_of<wanted::clients>, show_scope::each},
    {"servers", plain, rows_of<wanted::servers>, show_scope::each},
    {"sockets", socket_columns, rows_of<wanted::both>, show_scope::each},
    {"active_sockets", socket_columns, rows_of<wanted::working>, show_scope::each},
};

}  // namespace

std::span<const show_table> socket_show_tables() {
    return tables;
}

}  // namespace pgsluice::control
