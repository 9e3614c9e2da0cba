// Whom the gate admits: the command and what status tells of it.
#include "control/commands/argument_rules.hpp"
#include "control/cutover/steps.hpp"
#include "control/records/admission.hpp"
#include "control/service/report_json.hpp"
#include "control/service/service.hpp"

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <spdlog/spdlog.h>

namespace pgsluice::control {
namespace {

namespace json = boost::json;
using clock = limits::clock;

}  // namespace

/// The gate in one word: open and staged let somebody through; draining and paused, by a closed
/// gate or an empty set, nobody.
std::string_view service_operations::gate_word() const {
    const proxy::address_set set = around_.engine.admitted(id_).set;
    if (traffic_.gate_open() && !set.is_empty()) {
        return set.is_all() ? "open" : "staged";
    }
    return all_parked(traffic_.progress()) ? "paused" : "draining";
}

json::object service_operations::admission_json(const std::vector<proxy::session_info>& sessions
) const {
    json::object fields = encode_admission(around_.engine.admitted(id_));
    const std::size_t outside = count_of(sessions, is_outside);
    const std::size_t known = count_of(sessions, [](const auto& each) {
        return each.phase != proxy::session_phase::startup;
    });
    fields["inside"] = known - outside;
    fields["outside"] = outside;
    return fields;
}

outcome service_operations::admit(const request& given) {
    if (given.text("RANGES") == plan_word) {
        return propose_stages(given);
    }
    if (given.has("stages")) {
        return begin_stages(given);
    }
    if (given.has("pause") || given.has("resume") || given.has("skip")) {
        return change_stages(given);
    }
    return admit_set(given);
}

outcome service_operations::admit_set(const request& given) {
    proxy::admission who = requested_admission(given);
    const auto own = begin("admit");
    if (!own) {
        return busy();
    }
    const auto took = let_in(std::move(who), {{"by", given.asked_by}});
    if (!took) {
        return outcome::of(exit_code::failed, took.error().message);
    }
    return outcome::done(admitted_json(*took));
}

/// Journals the set, with what else `record` holds, and lets it take effect; by whoever has the
/// turn. Yields how long it took until every worker went by it.
result<std::chrono::duration<double, std::milli>>
service_operations::let_in(proxy::admission who, json::object record) {
    for (auto& field : encode_admission(who)) {
        record[field.key()] = std::move(field.value());
    }
    const json::object noted = record;
    if (auto appended = append(journal_kinds::admit, std::move(record)); !appended) {
        return appended.error();
    }
    const auto started = clock::now();
    around_.engine.admit(id_, std::move(who));
    const std::chrono::duration<double, std::milli> took = clock::now() - started;
    spdlog::info(
        "admitted service={} gate={} acknowledged_ms={:.3f} what={}",
        name(),
        gate_word(),
        took.count(),
        json::serialize(noted)
    );
    return took;
}

json::object service_operations::admitted_json(std::chrono::duration<double, std::milli> took) {
    const auto sessions = traffic_.sessions();
    json::object result{{"gate", gate_word()}};
    for (auto& field : admission_json(sessions)) {
        result[field.key()] = std::move(field.value());
    }
    result["still_working"] =
        count_of(sessions, [](const auto& each) { return is_outside(each) && blocks_drain(each); });
    result["workers"] = around_.engine.workers();
    result["acknowledged_ms"] = took.count();
    return result;
}

}  // namespace pgsluice::control
