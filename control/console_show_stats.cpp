// SHOW STATS and its relatives, PgBouncer's. Of what it counts here two things are counted: logins,
// and how often sessions were given a server; the way of a byte counts nothing.
#include "control/console_show.hpp"

#include <array>

namespace pgsluice::control {
namespace {

using protocol::column_type;
using protocol::console_column;
using protocol::console_row;

constexpr column_type numeric = column_type::numeric;
constexpr console_column database{"database", column_type::text};

/// What is counted; the names of columns differ from table to table.
struct counts {
    std::string assignments;
    std::string logins;
};

counts counts_of(const console_sources& from) {
    const proxy::service_stats stats = from.stats();
    return {
        std::to_string(stats.clients_logged_in + stats.sessions_moved),
        std::to_string(stats.clients_logged_in)};
}

constexpr console_column stats_columns[] = {
    database,
    {"total_server_assignment_count", numeric},
    {"total_xact_count", numeric},
    {"total_query_count", numeric},
    {"total_received", numeric},
    {"total_sent", numeric},
    {"total_xact_time", numeric},
    {"total_query_time", numeric},
    {"total_wait_time", numeric},
    {"total_client_parse_count", numeric},
    {"total_server_parse_count", numeric},
    {"total_bind_count", numeric},
    {"total_client_login_count", numeric},
    {"avg_server_assignment_count", numeric},
    {"avg_xact_count", numeric},
    {"avg_query_count", numeric},
    {"avg_recv", numeric},
    {"avg_sent", numeric},
    {"avg_xact_time", numeric},
    {"avg_query_time", numeric},
    {"avg_wait_time", numeric},
    {"avg_client_parse_count", numeric},
    {"avg_server_parse_count", numeric},
    {"avg_bind_count", numeric},
    {"avg_client_login_count", numeric},
};
constexpr console_column totals_columns[] = {
    database,
    {"server_assignment_count", numeric},
    {"xact_count", numeric},
    {"query_count", numeric},
    {"bytes_received", numeric},
    {"bytes_sent", numeric},
    {"xact_time", numeric},
    {"query_time", numeric},
    {"wait_time", numeric},
    {"client_parse_count", numeric},
    {"server_parse_count", numeric},
    {"bind_count", numeric},
    {"client_login_count", numeric},
};
constexpr console_column averages_columns[] = {
    database,
    {"server_assignment_count", numeric},
    {"xact_count", numeric},
    {"query_count", numeric},
    {"bytes_received", numeric},
    {"bytes_sent", numeric},
    {"xact_time", numeric},
    {"query_time", numeric},
    {"wait_time", numeric},
    {"avg_client_parse_count", numeric},
    {"avg_server_parse_count", numeric},
    {"avg_bind_count", numeric},
    {"avg_client_login_count", numeric},
};
constexpr console_column sum_columns[] = {{"name", column_type::text}, {"value", numeric}};

constexpr std::size_t counted = std::size(totals_columns) - 1;

/// The counts in PgBouncer's order: assignments come first, logins last, and what lies between is
/// not counted.
console_row row_of(const console_sources& from, std::size_t columns) {
    const counts now = counts_of(from);
    console_row row(columns, "0");
    row[0] = from.service()->name;
    row[1] = now.assignments;
    row[counted] = now.logins;
    return row;
}

console_rows stats(const console_sources& from) {
    return {row_of(from, std::size(stats_columns))};
}

console_rows totals(const console_sources& from) {
    return {row_of(from, std::size(totals_columns))};
}

console_rows averages(const console_sources& from) {
    console_row row(std::size(averages_columns), "0");
    row[0] = from.service()->name;
    return {row};
}

/// The same names as PgBouncer's, which differ from those of its columns.
console_rows sums(const console_sources& from) {
    static constexpr std::array<std::string_view, counted> names{
        "server_assignment_count",
        "xact_count",
        "query_count",
        "client_bytes",
        "server_bytes",
        "xact_time",
        "query_time",
        "wait_time",
        "ps_client_parse_count",
        "ps_server_parse_count",
        "ps_bind_count",
        "client_login_count"};
    const console_row row = row_of(from, std::size(totals_columns));
    console_rows rows;
    for (std::size_t i = 0; i < names.size(); ++i) {
        rows.push_back({"total_" + std::string(names[i]), row[i + 1]});
    }
    for (const std::string_view name : names) {
        rows.push_back({"avg_" + std::string(name), "0"});
    }
    return rows;
}

constexpr show_table tables[] = {
    {"stats", stats_columns, stats},
    {"stats_totals", totals_columns, totals},
    {"stats_averages", averages_columns, averages},
    {"totals", sum_columns, sums},
};

}  // namespace

std::span<const show_table> stats_show_tables() {
    return tables;
}

}  // namespace pgsluice::control
