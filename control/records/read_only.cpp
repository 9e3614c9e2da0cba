// Forced read-only in the journal:
//
//   {"state", "fence", "means"?, "backend"?, "memory"?: FENCE, "revoked"?: {DATABASE: [FUNCTION,
//   ...]}, "by"?}
#include "control/records/read_only.hpp"

#include "control/records/cutover_json.hpp"

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>

#include <algorithm>
#include <array>

namespace pgsluice::control {
namespace {

namespace json = boost::json;

constexpr std::array<std::string_view, 4> states{"off", "entering", "on", "leaving"};
constexpr std::array<std::string_view, 2> means{"guard", "user"};
constexpr std::array<std::string_view, 3> fences{"none", "default", "lock_tables"};

/// The place of a text among `names`, or their number.
template <std::size_t Size>
std::size_t index_in(
    const json::object& fields, std::string_view name, const std::array<std::string_view, Size>& of
) {
    const json::value* value = fields.if_contains(name);
    const auto found = value == nullptr || !value->is_string()
                           ? of.end()
                           : std::find(of.begin(), of.end(), value->get_string());
    return static_cast<std::size_t>(found - of.begin());
}

}  // namespace

std::string_view to_string(read_only_state value) noexcept {
    return states[static_cast<std::size_t>(value)];
}

std::string_view to_string(read_only_means value) noexcept {
    return means[static_cast<std::size_t>(value)];
}

std::string_view to_string(read_only_fence value) noexcept {
    return fences[static_cast<std::size_t>(value)];
}

json::object encode_read_only(const read_only_record& record) {
    json::object fields{{"state", to_string(record.state)}, {"fence", to_string(record.fence)}};
    if (record.means != read_only_means::guard) {
        fields["means"] = to_string(record.means);
    }
    if (!record.backend.empty()) {
        fields["backend"] = record.backend;
        fields["memory"] = encode_fence(record.memory);
    }
    json::object revoked;
    for (const auto& [database, functions] : record.revoked) {
        revoked[database] = json::array(functions.begin(), functions.end());
    }
    if (!revoked.empty()) {
        fields["revoked"] = std::move(revoked);
    }
    return fields;
}

result<read_only_record> decode_read_only(const json::object& fields) {
    const std::size_t state = index_in(fields, "state", states);
    const std::size_t fence = index_in(fields, "fence", fences);
    if (state == states.size() || fence == fences.size()) {
        return failure{"XX001", "no state or fence that this version knows", {}, {}};
    }
    const bool has_means = fields.contains("means");
    const std::size_t by = has_means ? index_in(fields, "means", means) : 0;
    if (by == means.size()) {
        return failure{"XX001", "no means that this version knows", {}, {}};
    }
    read_only_record record;
    record.state = static_cast<read_only_state>(state);
    record.fence = static_cast<read_only_fence>(fence);
    record.means = static_cast<read_only_means>(by);
    if (const json::value* backend = fields.if_contains("backend")) {
        record.backend = backend->is_string() ? std::string(backend->get_string()) : "";
    }
    if (const json::value* memory = fields.if_contains("memory")) {
        record.memory = decode_fence(*memory);
    }
    const json::value* revoked = fields.if_contains("revoked");
    if (revoked != nullptr && revoked->is_object()) {
        for (const auto& each : revoked->get_object()) {
            auto& functions = record.revoked[std::string(each.key())];
            const json::array* list = each.value().if_array();
            for (const json::value& function : list == nullptr ? json::array() : *list) {
                functions.emplace_back(function.is_string() ? function.get_string().c_str() : "");
            }
        }
    }
    return record;
}

}  // namespace pgsluice::control
