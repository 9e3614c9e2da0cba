// The canary between the operator, the configuration, the journal and the engine.
#include "control/records/canary.hpp"

#include "control/base/json_fields.hpp"
#include "control/base/words.hpp"
#include "control/config/resolve.hpp"
#include "control/records/admission.hpp"

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>

namespace pgsluice::control {

namespace {

namespace json = boost::json;

constexpr std::string_view off = "off";
constexpr std::string_view read_only = "read-only";
constexpr std::string_view read_write = "read-write";

}  // namespace

std::shared_ptr<const proxy::canary_route> canary_record::route_in(const service_config& service
) const {
    if (!is_on()) {
        return nullptr;
    }
    return std::make_shared<const proxy::canary_route>(proxy::canary_route{
        from, backend_index(service, backend), is_read_only});
}

canary_record configured_canary(const canary_config& configured) {
    canary_record record;
    if (!configured.backend.empty()) {
        record.backend = configured.backend;
        record.from = proxy::address_set::parse(words(configured.cidr)).value();
        record.is_read_only = configured.access == canary_access::read_only;
    }
    return record;
}

json::object encode_canary(const canary_record& record) {
    if (!record.is_on()) {
        return {{"state", off}};
    }
    const auto tokens = record.from.tokens();
    return {
        {"state", "on"},
        {"set", json::array(tokens.begin(), tokens.end())},
        {"backend", record.backend},
        {"access", record.is_read_only ? read_only : read_write}};
}

result<canary_record> decode_canary(const json::object& fields) {
    const std::string state = text_in(fields, "state");
    if (state == off) {
        return canary_record{};
    }
    const std::string access = text_in(fields, "access");
    canary_record record;
    record.backend = text_in(fields, "backend");
    record.is_read_only = access == read_only;
    if (state != "on" || record.backend.empty() || (access != read_only && access != read_write)) {
        return failure{"XX001", "no backend or access", {}, {}};
    }
    auto set = decode_set(fields);
    if (!set) {
        return set.error();
    }
    record.from = std::move(*set);
    return record;
}

}  // namespace pgsluice::control
