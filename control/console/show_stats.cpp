// SHOW STATS and its relatives, PgBouncer's. The columns of all of them are in one order, that of
// values_of().
#include "control/console/show.hpp"

#include <array>

namespace pgsluice::control {
namespace {

using protocol::column_type;
using protocol::console_column;
using protocol::console_row;

constexpr column_type numeric = column_type::numeric;
constexpr console_column database{"database", column_type::text};

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

/// The numbers in the order of the columns; what is not counted is 0.
std::array<std::uint64_t, counted> values_of(const traffic_counts& counts) {
    return {
        counts.assignments,
        counts.transactions,
        counts.queries,
        counts.received_bytes,
        counts.sent_bytes,
        counts.transaction_us,
        0,  // time in queries: it would take a look at the clock for each
        counts.wait_us,
        0,
        0,
        0,
        counts.logins};
}

void add_values(console_row& row, const traffic_counts& counts) {
    for (const std::uint64_t value : values_of(counts)) {
        row.emplace_back(std::to_string(value));
    }
}

console_rows stats(const console_sources& from) {
    const shown_traffic traffic = from.traffic();
    console_row row{from.service()->name};
    add_values(row, traffic.total);
    add_values(row, traffic.average);
    return {std::move(row)};
}

console_rows totals(const console_sources& from) {
    console_row row{from.service()->name};
    add_values(row, from.traffic().total);
    return {std::move(row)};
}

console_rows averages(const console_sources& from) {
    console_row row{from.service()->name};
    add_values(row, from.traffic().average);
    return {std::move(row)};
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
    const shown_traffic traffic = from.traffic();
    console_rows rows;
    for (const auto& [prefix, counts] :
         {std::pair("total_", traffic.total), std::pair("avg_", traffic.average)}) {
        const auto values = values_of(counts);
        for (std::size_t i = 0; i < counted; ++i) {
            rows.push_back({prefix + std::string(names[i]), std::to_string(values[i])});
        }
    }
    return rows;
}

constexpr show_table tables[] = {
    {"stats", stats_columns, stats, show_scope::each},
    {"stats_totals", totals_columns, totals, show_scope::each},
    {"stats_averages", averages_columns, averages, show_scope::each},
    {"totals", sum_columns, sums},
};

}  // namespace

std::span<const show_table> stats_show_tables() {
    return tables;
}

}  // namespace pgsluice::control
