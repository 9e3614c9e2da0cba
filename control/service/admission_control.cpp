// Whom the gate admits: the command and what status tells of it.
#include "control/service/admission_control.hpp"

#include "control/commands/argument_rules.hpp"
#include "control/cutover/steps.hpp"
#include "control/records/admission.hpp"
#include "control/service/report_json.hpp"

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <spdlog/spdlog.h>

namespace pgsluice::control {
namespace {

namespace json = boost::json;
using clock = limits::clock;

}  // namespace

json::object admission_control::json(const std::vector<proxy::session_info>& sessions) const {
    json::object fields = encode_admission(core_.engine.admitted(core_.id));
    const std::size_t outside = count_of(sessions, is_outside);
    const std::size_t known = count_of(sessions, [](const auto& each) {
        return each.phase != proxy::session_phase::startup;
    });
    fields["inside"] = known - outside;
    fields["outside"] = outside;
    return fields;
}

outcome admission_control::admit(const request& given) {
    proxy::admission who = requested_admission(given);
    const auto own = core_.lock.begin(operation::admit);
    if (!own) {
        return core_.lock.busy();
    }
    const auto took = put_in_force(std::move(who), {{"by", given.asked_by}});
    if (!took) {
        return outcome::of(exit_code::failed, took.error().message);
    }
    return outcome::done(admitted_json(*took));
}

/// Journals the set, with what else `record` holds, and lets it take effect; by whoever holds
/// the operation lock. Yields how long it took until every worker went by it.
result<std::chrono::duration<double, std::milli>>
admission_control::put_in_force(proxy::admission who, json::object record) {
    for (auto& field : encode_admission(who)) {
        record[field.key()] = std::move(field.value());
    }
    const json::object noted = record;
    if (auto appended = core_.append(journal_kinds::admit, std::move(record)); !appended) {
        return appended.error();
    }
    const auto started = clock::now();
    core_.engine.admit(core_.id, std::move(who));
    const std::chrono::duration<double, std::milli> took = clock::now() - started;
    spdlog::info(
        "admitted service={} gate={} acknowledged_ms={:.3f} what={}",
        core_.name(),
        core_.gate_word(),
        took.count(),
        json::serialize(noted)
    );
    return took;
}

json::object admission_control::admitted_json(std::chrono::duration<double, std::milli> took) {
    const auto sessions = core_.traffic.sessions();
    json::object result{{"gate", core_.gate_word()}};
    for (auto& field : json(sessions)) {
        result[field.key()] = std::move(field.value());
    }
    result["still_working"] =
        count_of(sessions, [](const auto& each) { return is_outside(each) && blocks_drain(each); });
    result["workers"] = core_.engine.workers();
    result["acknowledged_ms"] = took.count();
    return result;
}

}  // namespace pgsluice::control
