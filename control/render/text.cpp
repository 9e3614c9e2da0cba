// Results for people. What a table shows is decided here, what a result holds by the daemon; a
// field that is missing is shown as nothing, so that both may be of different versions.
#include "control/render/text.hpp"

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include <algorithm>
#include <cstdio>

namespace pgsluice::control {
namespace {

namespace json = boost::json;

constexpr std::size_t query_characters_max = 60;
constexpr std::size_t cell_characters_max = 300;

bool is_continuation(char byte) {
    return (static_cast<unsigned char>(byte) & 0xC0) == 0x80;
}

std::size_t characters(std::string_view text) {
    return text.size() -
           static_cast<std::size_t>(std::count_if(text.begin(), text.end(), is_continuation));
}

/// Harmless on a terminal and not wider than a cell may be.
std::string cell(std::string_view text, std::size_t characters_max) {
    std::string shown;
    std::size_t width = 0;
    for (const char byte : text) {
        if (!is_continuation(byte) && ++width > characters_max) {
            return shown + "...";
        }
        const auto code = static_cast<unsigned char>(byte);
        shown += code < 0x20 || code == 0x7F ? '?' : byte;
    }
    return shown;
}

bool is_number(std::string_view text) {
    return text.find_first_of("0123456789") != std::string_view::npos &&
           text.find_first_not_of("0123456789.-") == std::string_view::npos;
}

std::string text_of(const json::value& value) {
    if (value.is_string()) {
        return std::string(value.get_string());
    }
    if (value.is_null()) {
        return "";
    }
    if (value.is_bool()) {
        return value.get_bool() ? "yes" : "no";
    }
    return json::serialize(value);
}

/// A field by its name; `..._ms` as a span of time.
std::string field_text(const json::object& fields, std::string_view name) {
    const json::value* value = fields.if_contains(name);
    if (value == nullptr) {
        return "";
    }
    if (name.ends_with("_ms") && value->is_double() && value->get_double() < 1000) {
        char text[32];
        std::snprintf(text, sizeof text, "%.1fms", value->get_double());
        return text;
    }
    if (name.ends_with("_ms") && value->is_double()) {
        return render_ms(static_cast<std::int64_t>(value->get_double()));
    }
    if (name.ends_with("_ms") && value->is_int64()) {
        return render_ms(value->get_int64());
    }
    return text_of(*value);
}

std::string heading_of(std::string_view name) {
    return std::string(name.ends_with("_ms") ? name.substr(0, name.size() - 3) : name);
}

const json::object* object_in(const json::object& fields, std::string_view name) {
    const json::value* value = fields.if_contains(name);
    return value == nullptr ? nullptr : value->if_object();
}

const json::array* array_in(const json::object& fields, std::string_view name) {
    const json::value* value = fields.if_contains(name);
    return value == nullptr ? nullptr : value->if_array();
}

/// A list of objects; the columns are the fields of the first.
std::string render_list(const json::array& list) {
    std::vector<std::string> names;
    std::vector<std::string> heading;
    std::vector<std::vector<std::string>> rows;
    for (const json::value& element : list) {
        const json::object* fields = element.if_object();
        if (fields == nullptr) {
            rows.push_back({text_of(element)});
            continue;
        }
        for (const auto& field : names.empty() ? *fields : json::object()) {
            names.emplace_back(field.key());
            heading.push_back(heading_of(field.key()));
        }
        std::vector<std::string>& row = rows.emplace_back();
        for (const std::string& name : names) {
            row.push_back(field_text(*fields, name));
        }
    }
    return render_table(heading, rows);
}

void collect_pairs(
    const json::object& fields,
    const std::string& prefix,
    std::vector<std::vector<std::string>>& rows,
    std::string& lists
) {
    for (const auto& field : fields) {
        const std::string name = prefix + std::string(field.key());
        if (const json::object* inner = field.value().if_object()) {
            collect_pairs(*inner, name + ".", rows, lists);
        } else if (const json::array* list = field.value().if_array()) {
            lists += list->empty() ? "" : "\n" + name + ":\n" + render_list(*list);
        } else {
            rows.push_back({heading_of(name), field_text(fields, field.key())});
        }
    }
}

std::string render_pairs(const json::object& fields) {
    std::vector<std::vector<std::string>> rows;
    std::string lists;
    collect_pairs(fields, "", rows, lists);
    return render_table({}, rows) + lists;
}

std::vector<std::string> status_row(const json::object& service) {
    std::vector<std::string> row;
    for (const char* name : {"name", "route", "generation", "gate", "access"}) {
        row.push_back(field_text(service, name));
    }
    const json::object* sessions = object_in(service, "sessions");
    for (const char* name :
         {"total", "idle", "active", "in_transaction", "parked", "moving", "pinned"}) {
        row.push_back(sessions == nullptr ? "" : field_text(*sessions, name));
    }
    return row;
}

bool admits_all(const json::object& admission) {
    const json::array* set = array_in(admission, "set");
    return set != nullptr && *set == json::array{"all"};
}

std::string render_status(const json::object& result) {
    std::vector<std::vector<std::string>> services;
    std::vector<std::vector<std::string>> backends;
    std::string admissions;
    std::string cutovers;
    const json::array* list = array_in(result, "services");
    for (const json::value& each : list == nullptr ? json::array() : *list) {
        const json::object& service = each.as_object();
        services.push_back(status_row(service));
        const json::object* of_service = object_in(service, "backends");
        for (const auto& backend : of_service == nullptr ? json::object() : *of_service) {
            const json::object& fields = backend.value().as_object();
            const bool is_route = backend.key() == field_text(service, "route");
            backends.push_back(
                {field_text(service, "name"),
                 std::string(backend.key()) + (is_route ? " *" : ""),
                 field_text(fields, "address"),
                 field_text(fields, "sessions")}
            );
        }
        const json::object* admission = object_in(service, "admission");
        if (admission != nullptr && !admits_all(*admission)) {
            admissions +=
                "\nadmission of " + field_text(service, "name") + ":\n" + render_pairs(*admission);
        }
        if (const json::object* stages = object_in(service, "stages")) {
            admissions +=
                "\nstages of " + field_text(service, "name") + ":\n" + render_pairs(*stages);
        }
        if (const json::object* canary = object_in(service, "canary")) {
            admissions +=
                "\ncanary of " + field_text(service, "name") + ":\n" + render_pairs(*canary);
        }
        if (const json::object* cutover = object_in(service, "cutover")) {
            cutovers +=
                "\ncutover of " + field_text(service, "name") + ":\n" + render_pairs(*cutover);
        }
    }
    return render_table(
               {"service",
                "route",
                "generation",
                "gate",
                "access",
                "sessions",
                "idle",
                "active",
                "in transaction",
                "parked",
                "moving",
                "pinned"},
               services
           ) +
           "\n" + render_table({"service", "backend", "address", "sessions"}, backends) +
           admissions + cutovers;
}

/// Those of both directions; nothing where they are not told.
std::string bytes_text(const json::object& session) {
    std::int64_t sum = 0;
    for (const char* name : {"received_bytes", "sent_bytes"}) {
        const json::value* const value = session.if_contains(name);
        if (value == nullptr || !value->is_int64()) {
            return "";
        }
        sum += value->get_int64();
    }
    return std::to_string(sum);
}

std::string render_sessions(const json::object& result) {
    if (const json::array* groups = array_in(result, "groups")) {
        return render_list(*groups);
    }
    std::vector<std::vector<std::string>> rows;
    const json::array* list = array_in(result, "sessions");
    for (const json::value& each : list == nullptr ? json::array() : *list) {
        const json::object& session = each.as_object();
        std::vector<std::string>& row = rows.emplace_back();
        for (const char* name :
             {"id",
              "state",
              "state_age_ms",
              "user",
              "database",
              "application",
              "address",
              "backend",
              "pid",
              "transactions"}) {
            row.push_back(field_text(session, name));
        }
        row.push_back(bytes_text(session));
        const json::value* admitted = session.if_contains("admitted");
        if (admitted != nullptr && *admitted == false) {
            row[1] += ", not admitted";
        }
        std::string codes;
        const json::array* pins = array_in(session, "pins");
        for (const json::value& pin : pins == nullptr ? json::array() : *pins) {
            codes += (codes.empty() ? "" : ",") + field_text(pin.as_object(), "code");
        }
        row.push_back(codes);
        row.push_back(cell(field_text(session, "query"), query_characters_max));
    }
    return render_table(
        {"id",
         "state",
         "for",
         "user",
         "database",
         "application",
         "address",
         "backend",
         "pid",
         "transactions",
         "bytes",
         "pins",
         "query"},
        rows
    );
}

/// One line an event; not aligned, so that --follow can go on where it was.
std::string render_events(const json::object& result) {
    std::string out;
    const json::array* list = array_in(result, "events");
    for (const json::value& each : list == nullptr ? json::array() : *list) {
        const json::object& row = each.as_object();
        std::string line = field_text(row, "at");
        for (const char* field : {"service", "event", "text"}) {
            const std::string text = field_text(row, field);
            line += text.empty() ? "" : "  " + cell(text, text.size());
        }
        out += line + "\n";
    }
    return out;
}

/// One line a verdict; below a finding, in full so that it can be copied, what mends it.
std::string render_verdicts(const json::object& result) {
    std::size_t name_width = 0;
    const json::array* list = array_in(result, "checks");
    for (const json::value& each : list == nullptr ? json::array() : *list) {
        name_width = std::max(name_width, characters(field_text(each.as_object(), "check")));
    }
    const std::size_t indent = std::string_view("error  ").size() + name_width + 2;
    std::string out;
    for (const json::value& each : list == nullptr ? json::array() : *list) {
        const json::object& row = each.as_object();
        std::string line = field_text(row, "level");
        line.resize(std::string_view("error  ").size(), ' ');
        line += field_text(row, "check");
        line.resize(indent, ' ');
        out += line + cell(field_text(row, "text"), cell_characters_max) + "\n";
        if (const std::string mend = field_text(row, "hint"); !mend.empty()) {
            out += std::string(indent, ' ') + "mend: " + cell(mend, mend.size()) + "\n";
        }
    }
    std::string counts;
    for (const char* level : {"ok", "warn", "error", "off"}) {
        counts += (counts.empty() ? "" : ", ") + field_text(result, level) + " " + level;
    }
    return out + counts + "\n";
}

}  // namespace

std::string render_table(
    const std::vector<std::string>& heading, const std::vector<std::vector<std::string>>& rows
) {
    std::vector<std::vector<std::string>> lines;
    if (!heading.empty()) {
        lines.push_back(heading);
    }
    lines.insert(lines.end(), rows.begin(), rows.end());
    std::vector<std::size_t> widths;
    for (auto& line : lines) {
        widths.resize(std::max(widths.size(), line.size()));
        for (std::size_t i = 0; i < line.size(); ++i) {
            line[i] = cell(line[i], cell_characters_max);
            widths[i] = std::max(widths[i], characters(line[i]));
        }
    }
    std::string out;
    for (const auto& line : lines) {
        std::string text;
        for (std::size_t i = 0; i < line.size(); ++i) {
            const std::string padding(widths[i] - characters(line[i]), ' ');
            const bool is_right = i > 0 && !heading.empty() && is_number(line[i]);
            text += (i == 0 ? "" : "  ") + (is_right ? padding + line[i] : line[i] + padding);
        }
        text.erase(text.find_last_not_of(' ') + 1);
        out += text + "\n";
    }
    return out;
}

std::string render_ms(std::int64_t ms) {
    constexpr std::int64_t second = 1000;
    constexpr std::int64_t minute = 60 * second;
    constexpr std::int64_t hour = 60 * minute;
    char text[48];
    if (ms < second) {
        std::snprintf(text, sizeof text, "%lldms", static_cast<long long>(ms));
    } else if (ms < minute) {
        std::snprintf(text, sizeof text, "%.1fs", static_cast<double>(ms) / second);
    } else {
        const bool is_long = ms >= hour;
        const std::int64_t unit = is_long ? hour : minute;
        std::snprintf(
            text,
            sizeof text,
            is_long ? "%lldh%02lldm" : "%lldm%02llds",
            static_cast<long long>(ms / unit),
            static_cast<long long>(ms % unit / (unit / 60))
        );
    }
    return text;
}

std::string render_result(std::string_view command_name, const json::object& result) {
    if (result.empty()) {
        return {};
    }
    if (command_name == "status") {
        return render_status(result);
    }
    if (command_name == "admit" && result.contains("file")) {
        return field_text(result, "file");
    }
    if (command_name == "sessions") {
        return render_sessions(result);
    }
    if (command_name == "events") {
        return render_events(result);
    }
    if (command_name == "preflight") {
        return render_verdicts(result);
    }
    return render_pairs(result);
}

std::string render_progress(const json::object& progress) {
    const std::string text = field_text(progress, "text");
    const std::string elapsed = field_text(progress, "elapsed_ms");
    return cell(
        field_text(progress, "step") + (text.empty() ? "" : ": " + text) +
            (elapsed.empty() ? "" : " (" + elapsed + ")"),
        cell_characters_max
    );
}

}  // namespace pgsluice::control
