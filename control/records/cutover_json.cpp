// A cutover's records as JSON:
//
//   {"id", "from", "to", "retarget"?: true, "way_back"?: true, "generation"?: N, "fence"?: FENCE,
//    "to_fence"?: FENCE, "admit"?: as of `admit`, "read_only"?: true, "text"?: TEXT,
//    "steps"?: [{"name", "took_us", "text", "in_pause"?: true}],
//    "pause"?: {"held_us", "drained_us", "waited_us", "added_us"}}
//
// with FENCE, where no method is default_read_only:
//
//   {"auto_conf": TEXT | null, "method"?, "connect"?: {DATABASE: [GRANT, ...]},
//    "raise"?: COMMAND, "lower"?: COMMAND}
#include "control/records/cutover_json.hpp"

#include "control/base/json_fields.hpp"
#include "control/records/admission.hpp"

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>

#include <algorithm>
#include <array>

namespace pgsluice::control {
namespace {

namespace json = boost::json;

constexpr std::array<std::string_view, 5> methods{
    "none", "default_read_only", "lock_tables", "revoke_connect", "command"};

constexpr record_kind kinds[] = {
    record_kind::begun,
    record_kind::promoting,
    record_kind::committed,
    record_kind::aborted,
    record_kind::done};

std::int64_t number_in(const json::object& fields, std::string_view name) {
    const json::value* value = fields.if_contains(name);
    boost::system::error_code ignored;
    return value != nullptr ? value->to_number<std::int64_t>(ignored) : 0;
}

std::vector<step_report> decode_steps(const json::value& value) {
    std::vector<step_report> steps;
    const json::array* list = value.if_array();
    for (const json::value& each : list == nullptr ? json::array() : *list) {
        if (const json::object* fields = each.if_object()) {
            steps.push_back(
                {text_in(*fields, "name"),
                 std::chrono::microseconds(number_in(*fields, "took_us")),
                 text_in(*fields, "text"),
                 fields->contains("in_pause")}
            );
        }
    }
    return steps;
}

json::object encode_pause(const pause_figures& pause) {
    return {
        {"held_us", pause.held.count()},
        {"drained_us", pause.drained.count()},
        {"waited_us", pause.waited.count()},
        {"added_us", pause.added.count()}};
}

pause_figures decode_pause(const json::value& value) {
    using std::chrono::microseconds;
    const json::object* fields = value.if_object();
    if (fields == nullptr) {
        return {};
    }
    return {
        .held = microseconds(number_in(*fields, "held_us")),
        .drained = microseconds(number_in(*fields, "drained_us")),
        .waited = microseconds(number_in(*fields, "waited_us")),
        .added = microseconds(number_in(*fields, "added_us"))};
}

}  // namespace

json::object encode_fence(const fence_memory& memory) {
    const auto& auto_conf = memory.auto_conf;
    json::object fields{{"auto_conf", auto_conf ? json::value(*auto_conf) : json::value(nullptr)}};
    if (memory.method != fence_method::default_read_only) {
        fields["method"] = methods[static_cast<std::size_t>(memory.method)];
    }
    json::object connect;
    for (const auto& [database, grants] : memory.connect) {
        connect[database] = json::array(grants.begin(), grants.end());
    }
    if (!connect.empty()) {
        fields["connect"] = std::move(connect);
    }
    if (memory.method == fence_method::command) {
        fields["raise"] = memory.raise_command;
        fields["lower"] = memory.lower_command;
    }
    return fields;
}

fence_memory decode_fence(const json::value& value) {
    fence_memory memory;
    const json::object* fields = value.if_object();
    const json::value* auto_conf = fields == nullptr ? nullptr : fields->if_contains("auto_conf");
    if (auto_conf != nullptr && auto_conf->is_string()) {
        memory.auto_conf = std::string(auto_conf->get_string());
    }
    if (fields == nullptr) {
        return memory;
    }
    const auto method = std::find(methods.begin(), methods.end(), text_in(*fields, "method"));
    if (method != methods.end()) {
        memory.method = static_cast<fence_method>(method - methods.begin());
    }
    const json::value* connect = fields->if_contains("connect");
    if (connect != nullptr && connect->is_object()) {
        for (const auto& each : connect->get_object()) {
            auto& grants = memory.connect[std::string(each.key())];
            const json::array* list = each.value().if_array();
            for (const json::value& grant : list == nullptr ? json::array() : *list) {
                grants.emplace_back(grant.is_string() ? grant.get_string().c_str() : "");
            }
        }
    }
    memory.raise_command = text_in(*fields, "raise");
    memory.lower_command = text_in(*fields, "lower");
    return memory;
}

std::string journal_kind(record_kind kind) {
    return "cutover_" + std::string(to_string(kind));
}

json::object encode_cutover(const cutover_record& record) {
    json::object fields{{"id", record.id}, {"from", record.from}, {"to", record.to}};
    if (record.retarget) {
        fields["retarget"] = true;
    }
    if (record.way_back) {
        fields["way_back"] = true;
    }
    if (record.generation != 0) {
        fields["generation"] = record.generation;
    }
    if (record.fence) {
        fields["fence"] = encode_fence(*record.fence);
    }
    if (record.to_fence) {
        fields["to_fence"] = encode_fence(*record.to_fence);
    }
    if (record.admit) {
        fields["admit"] = encode_admission(*record.admit);
    }
    if (record.read_only) {
        fields["read_only"] = true;
    }
    if (!record.text.empty()) {
        fields["text"] = record.text;
    }
    if (!record.steps.empty()) {
        json::array steps;
        for (const step_report& step : record.steps) {
            json::object row{
                {"name", step.name}, {"took_us", step.took.count()}, {"text", step.text}};
            if (step.in_pause) {
                row["in_pause"] = true;
            }
            steps.push_back(std::move(row));
        }
        fields["steps"] = std::move(steps);
    }
    if (record.pause != pause_figures{}) {
        fields["pause"] = encode_pause(record.pause);
    }
    return fields;
}

std::optional<cutover_record> decode_cutover(std::string_view name, const json::object& fields) {
    const auto kind = std::ranges::find(kinds, name, journal_kind);
    if (kind == std::end(kinds)) {
        return std::nullopt;
    }
    cutover_record decoded{
        .kind = *kind,
        .id = text_in(fields, "id"),
        .from = text_in(fields, "from"),
        .to = text_in(fields, "to"),
        .retarget = fields.contains("retarget"),
        .way_back = fields.contains("way_back"),
        .generation = static_cast<std::uint64_t>(number_in(fields, "generation")),
        .read_only = fields.contains("read_only"),
        .text = text_in(fields, "text")};
    if (const json::value* fence = fields.if_contains("fence")) {
        decoded.fence = decode_fence(*fence);
    }
    if (const json::value* fence = fields.if_contains("to_fence")) {
        decoded.to_fence = decode_fence(*fence);
    }
    const json::value* admit = fields.if_contains("admit");
    if (admit != nullptr && admit->is_object()) {
        auto who = decode_admission(admit->get_object());
        if (!who) {
            return std::nullopt;
        }
        decoded.admit = std::move(*who);
    }
    if (const json::value* steps = fields.if_contains("steps")) {
        decoded.steps = decode_steps(*steps);
    }
    if (const json::value* pause = fields.if_contains("pause")) {
        decoded.pause = decode_pause(*pause);
    }
    if (decoded.id.empty() || decoded.from.empty() || decoded.to.empty()) {
        return std::nullopt;
    }
    return decoded;
}

}  // namespace pgsluice::control
