// SHOW CONFIG from the tables of keys, and what PgBouncer has nothing like.
#include "control/config/keys.hpp"
#include "control/console/show.hpp"

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

namespace pgsluice::control {
namespace {

namespace json = boost::json;
using protocol::column_type;
using protocol::console_column;
using protocol::console_row;

constexpr column_type text = column_type::text;
constexpr column_type int4 = column_type::int4;
constexpr column_type int8 = column_type::int8;

constexpr std::string_view hidden = "********";

constexpr console_column config_columns[] = {
    {"key", text}, {"value", text}, {"default", text}, {"changeable", text}};
constexpr console_column session_columns[] = {
    {"id", int8},      {"state", text},          {"state_age_ms", int8},
    {"age_ms", int8},  {"waits", text},          {"admitted", text},
    {"user", text},    {"database", text},       {"application", text},
    {"address", text}, {"backend", text},        {"pid", int4},
    {"worker", int4},  {"moves", int8},          {"transactions", int8},
    {"queries", int8}, {"received_bytes", int8}, {"sent_bytes", int8},
    {"pins", text},    {"query", text},
};
constexpr console_column gate_columns[] = {
    {"service", text},
    {"gate", text},
    {"mode", text},
    {"access", text},
    {"route", text},
    {"generation", int8},
    {"admitted", text},
    {"unadmitted", text},
    {"inside", int8},
    {"outside", int8},
};
constexpr console_column canary_columns[] = {
    {"service", text},
    {"from", text},
    {"backend", text},
    {"access", text},
    {"sessions", int4},
    {"elsewhere", int4},
};
constexpr console_column cutover_columns[] = {
    {"id", text},
    {"from", text},
    {"to", text},
    {"step", text},
    {"elapsed_ms", int8},
    {"outcome", text},
};
constexpr console_column pin_columns[] = {
    {"session", int8}, {"user", text}, {"database", text}, {"code", text}, {"text", text}};
constexpr console_column event_columns[] = {
    {"seq", int8}, {"at", text}, {"event", text}, {"text", text}};
constexpr console_column backend_columns[] = {
    {"name", text}, {"address", text}, {"route", text}, {"sessions", int4}};

/// A value of an answer as the text of a cell.
std::optional<std::string> cell(const json::object& fields, std::string_view name) {
    const json::value* const value = fields.if_contains(name);
    if (value == nullptr || value->is_null()) {
        return std::nullopt;
    }
    return value->is_string() ? std::string(value->get_string()) : json::serialize(*value);
}

std::string joined(const json::value& list) {
    std::string all;
    for (const json::value& each : list.as_array()) {
        all += all.empty() ? "" : " ";
        all += std::string(each.as_string());
    }
    return all;
}

std::string yes(bool is_so) {
    return is_so ? "yes" : "no";
}

/// Texts are shown as YAML writes them, but for the quotes around a whole value.
std::string bare(const std::vector<std::string>& values) {
    std::string all;
    for (const std::string& value : values) {
        const bool is_quoted = value.size() > 1 && value.front() == '"' && value.back() == '"' &&
                               value.find('\\') == std::string::npos;
        all += all.empty() ? "" : ", ";
        all += is_quoted ? value.substr(1, value.size() - 2) : value;
    }
    return all;
}

template <class Target>
void add_keys(
    console_rows& rows,
    const std::string& prefix,
    std::span<const config_key<Target>> keys,
    const Target& target
) {
    for (const config_key<Target>& key : keys) {
        const auto values = key.show(target);
        std::optional<std::string> shown;
        if (!values.empty()) {
            shown = key.is_secret ? std::string(hidden) : bare(values);
        }
        rows.push_back(
            {prefix + std::string(key.name),
             std::move(shown),
             key.initial.empty() ? std::nullopt : std::optional(std::string(key.initial)),
             yes(key.is_reloadable)}
        );
    }
}

/// The daemon's keys and the service's own: what other services are like is for their consoles. In
/// front come the two of PgBouncer's keys that mean something here.
console_rows configuration(const console_sources& from) {
    const auto service = from.service();
    const std::string clients_max = std::to_string(service->max_connections);
    console_rows rows{
        {"max_client_conn", clients_max, "10000", "yes"},
        {"pool_mode", "session", "session", "no"}};
    const config settings = from.settings();
    add_keys(rows, "", global_keys(), settings);
    const std::string prefix = "services." + service->name + ".";
    add_keys(rows, prefix, service_keys(), *service);
    for (const backend_config& backend : service->backends) {
        add_keys(rows, prefix + "backends." + backend.name + ".", backend_keys(), backend);
    }
    return rows;
}

console_rows sessions(const console_sources& from) {
    console_rows rows;
    for (const proxy::session_info& each : from.sessions()) {
        std::string pins;
        for (const proxy::pin_reason& pin : each.pins) {
            pins += (pins.empty() ? "" : " ") + pin.code;
        }
        rows.push_back(
            {std::to_string(each.id),
             std::string(proxy::to_string(each.phase)),
             std::to_string(each.phase_age.count()),
             std::to_string(each.age.count()),
             yes(each.waits),
             yes(each.is_admitted),
             each.user,
             each.database,
             each.application,
             each.address,
             each.backend,
             std::to_string(each.backend_pid),
             std::to_string(each.worker),
             std::to_string(each.moves),
             std::to_string(each.counted.transactions),
             std::to_string(each.counted.queries),
             std::to_string(each.counted.received_bytes),
             std::to_string(each.counted.sent_bytes),
             std::move(pins),
             each.query}
        );
    }
    return rows;
}

console_rows gate(const console_sources& from) {
    const json::object status = from.status();
    json::object admission;
    if (const json::value* const found = status.if_contains("admission")) {
        admission = found->as_object();
    }
    const json::value* const set = admission.if_contains("set");
    return {console_row{
        cell(status, "name"),
        cell(status, "gate"),
        cell(status, "mode"),
        cell(status, "access"),
        cell(status, "route"),
        cell(status, "generation"),
        set == nullptr ? std::nullopt : std::optional(joined(*set)),
        cell(admission, "unadmitted"),
        cell(admission, "inside"),
        cell(admission, "outside")}};
}

/// No row where none is on, and nobody is left of one.
console_rows canary(const console_sources& from) {
    const json::object status = from.status();
    const json::value* const found = status.if_contains("canary");
    if (found == nullptr || !found->is_object()) {
        return {};
    }
    const json::object& now = found->get_object();
    const json::value* const set = now.if_contains("set");
    return {console_row{
        cell(status, "name"),
        set == nullptr ? std::nullopt : std::optional(joined(*set)),
        cell(now, "backend"),
        cell(now, "access"),
        cell(now, "sessions"),
        cell(now, "elsewhere")}};
}

/// The one that runs, or else the last one; none since the start: no row.
console_rows cutover(const console_sources& from) {
    const json::object status = from.status();
    const json::value* const last = status.if_contains("cutover");
    if (last == nullptr || !last->is_object()) {
        return {};
    }
    console_row row;
    for (const console_column& column : cutover_columns) {
        row.push_back(cell(last->get_object(), column.name));
    }
    return {row};
}

console_rows pins(const console_sources& from) {
    console_rows rows;
    for (const proxy::session_info& each : from.sessions()) {
        for (const proxy::pin_reason& pin : each.pins) {
            rows.push_back({std::to_string(each.id), each.user, each.database, pin.code, pin.text});
        }
    }
    return rows;
}

console_rows events(const console_sources& from) {
    console_rows rows;
    for (const json::value& each : from.events()) {
        console_row row;
        for (const console_column& column : event_columns) {
            row.push_back(cell(each.as_object(), column.name));
        }
        rows.push_back(std::move(row));
    }
    return rows;
}

console_rows backends(const console_sources& from) {
    const json::object status = from.status();
    const auto route = cell(status, "route");
    console_rows rows;
    for (const auto& [name, fields] : status.at("backends").as_object()) {
        rows.push_back(
            {std::string(name),
             cell(fields.as_object(), "address"),
             yes(route == std::string(name)),
             cell(fields.as_object(), "sessions")}
        );
    }
    return rows;
}

constexpr show_table tables[] = {
    {"config", config_columns, configuration},
    {"sessions", session_columns, sessions, show_scope::own, role::operator_},
    {"gate", gate_columns, gate, show_scope::each},
    {"canary", canary_columns, canary, show_scope::each},
    {"cutover", cutover_columns, cutover},
    {"pins", pin_columns, pins},
    {"events", event_columns, events},
    {"backends", backend_columns, backends},
};

}  // namespace

std::span<const show_table> own_show_tables() {
    return tables;
}

}  // namespace pgsluice::control
