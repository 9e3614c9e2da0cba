#pragma once

#include "control/commands/request.hpp"
#include "control/config/config.hpp"
#include "control/metrics/traffic_averages.hpp"
#include "protocol/console/console_answer.hpp"
#include "proxy/model/session_info.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::control {

/// A host name and the addresses that are used for it.
struct known_name {
    std::string host;
    std::vector<std::string> addresses;
};

/// What a service has counted since its start, and the averages of the last period.
struct shown_traffic {
    traffic_counts total{};
    traffic_counts average{};
};

/// Where SHOW finds what it shows of one service; each is called when it is needed, on the thread
/// that runs the statement.
struct console_sources {
    std::function<config()> settings;
    std::function<std::shared_ptr<const service_config>()> service;
    std::function<boost::json::object()> status;  ///< as of service::status()
    std::function<std::vector<proxy::session_info>()> sessions;
    std::function<shown_traffic()> traffic;
    std::function<boost::json::array()> events;  ///< as of events_json()
    std::function<std::vector<known_name>()> names;
    std::function<std::chrono::system_clock::time_point()> now = std::chrono::system_clock::now;
};

using console_rows = std::vector<protocol::console_row>;

/// Of which services a table shows rows, where a console is of several.
enum class show_scope : std::uint8_t {
    each,  ///< of all, one behind the other
    sum,   ///< of all, added up by the first column
    own,   ///< of the one that is asked, or of the whole daemon
};

/// One row of the table of everything that can be shown.
struct show_table {
    std::string_view name;  ///< in lower case
    protocol::console_columns columns;
    console_rows (*rows)(const console_sources&);
    show_scope scope = show_scope::own;
    role needs = role::viewer;
};

/// PgBouncer's, with its columns, and ours.
std::span<const show_table> show_tables();
/// Null when there is no such table. `name` in lower case.
const show_table* find_show_table(std::string_view name);

// Its parts.
std::span<const show_table> socket_show_tables();  ///< clients, servers, sockets
std::span<const show_table> stats_show_tables();
std::span<const show_table> own_show_tables();  ///< CONFIG, and those that PgBouncer does not have

/// A setting that drivers ask for, and what they are told; null for any other.
struct driver_setting {
    protocol::console_column column;  ///< of the one row that it is shown in
    std::string_view value;
};
const driver_setting* find_driver_setting(std::string_view name);

// --- for those that make rows

/// `127.0.0.1:5432` as host and port; a unix socket has port 0.
struct shown_address {
    std::string host;
    std::string port;
};
shown_address split_address(std::string_view address);

}  // namespace pgsluice::control
