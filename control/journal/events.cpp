// The journal's records as people read them.

#include "control/journal/events.hpp"

#include "control/base/json_fields.hpp"

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include <cstdio>
#include <ctime>

namespace pgsluice::control {
namespace {

namespace json = boost::json;

std::string utc(std::int64_t at_ms) {
    constexpr std::int64_t second = 1000;
    const auto seconds = static_cast<std::time_t>(at_ms / second);
    std::tm parts{};
    ::gmtime_r(&seconds, &parts);
    char text[40];
    const std::size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    std::snprintf(text + length, sizeof text - length, ".%03dZ", static_cast<int>(at_ms % second));
    return text;
}

/// Everything that has no words of its own below, as the journal has it.
std::string rest_of(const json::object& payload) {
    static constexpr std::string_view told[] = {"from", "to", "text", "steps", "pause"};
    std::string out;
    for (const auto& field : payload) {
        bool is_told = false;
        for (const std::string_view name : told) {
            is_told = is_told || field.key() == name;
        }
        if (!is_told) {
            const json::value& value = field.value();
            out += out.empty() ? "" : ", ";
            out += std::string(field.key()) + " ";
            out += value.is_string() ? std::string(value.get_string()) : json::serialize(value);
        }
    }
    return out;
}

}  // namespace

std::string event_text(const journal_record& record) {
    std::string out;
    const auto add = [&out](const std::string& part) {
        out += out.empty() || part.empty() ? "" : ", ";
        out += part;
    };
    if (const std::string to = text_in(record.payload, "to"); !to.empty()) {
        add(text_in(record.payload, "from") + " -> " + to);
    }
    add(rest_of(record.payload));
    add(text_in(record.payload, "text"));
    return out;
}

json::array events_json(std::span<const journal_record> records, const event_filter& wanted) {
    json::array rows;
    for (const journal_record& record : records) {
        if (record.seq <= wanted.after ||
            (!wanted.service.empty() && record.service != wanted.service)) {
            continue;
        }
        rows.push_back(
            {{"seq", record.seq},
             {"at", utc(record.at_ms)},
             {"service", record.service},
             {"event", record.kind},
             {"text", event_text(record)},
             {"payload", record.payload}}
        );
    }
    if (wanted.last != 0 && rows.size() > wanted.last) {
        rows.erase(rows.begin(), rows.end() - static_cast<std::ptrdiff_t>(wanted.last));
    }
    return rows;
}

}  // namespace pgsluice::control
