// Runs of stages of one service: `admit --stages` and `canary --stages`, what the operator may do
// with them, and a file for one.
#include "control/service/stages_control.hpp"

#include "control/commands/argument_rules.hpp"
#include "control/records/admission.hpp"
#include "control/records/canary.hpp"
#include "control/service/stages_door.hpp"
#include "control/stages/proposal.hpp"

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <spdlog/spdlog.h>

namespace pgsluice::control {
namespace {

namespace json = boost::json;

stages_of kind_of(const request& given) {
    return given.what->id == command_id::canary ? stages_of::canary : stages_of::admission;
}

std::string why_cut(stages_of what) {
    return "pgsluice was restarted; the " +
           std::string(what == stages_of::canary ? "canary" : "set") + " stays";
}

}  // namespace

bool stages_control::is_meant(const request& given) {
    return given.has("stages") || given.has("pause") || given.has("resume") || given.has("skip");
}

outcome stages_control::run(const request& given) {
    return given.has("stages") ? begin(given) : change(given);
}

std::shared_ptr<stages_run> stages_control::last() const {
    const std::lock_guard guard(core_.mutex);
    return last_;
}

std::shared_ptr<stages_run> stages_control::end(const std::string& how, const std::string& by) {
    auto run = core_.lock.stages() ? last() : nullptr;
    return run && run->end(how, by) ? run : nullptr;
}

void stages_control::stop() {
    if (const auto run = last()) {
        run->end("shutdown", "shutdown");
        run->stop();
    }
}

outcome stages_control::begin(const request& given) {
    const auto own = core_.lock.begin(operation::stages_start);
    if (!own) {
        return core_.lock.busy();
    }
    const stages_of what = kind_of(given);
    const auto wanted = what == stages_of::canary ? canary_.wanted(given) : canary_record{};
    if (auto refused = canary_.refused_target(wanted)) {
        return *refused;
    }
    const std::string file = given.text("stages");
    stages_outcome read = load_stages(file, *core_.settings(), what);
    if (!read.value) {
        json::array errors;
        for (const config_problem& problem : read.errors) {
            errors.emplace_back(format_problem(file, problem));
        }
        const std::string first(errors.front().as_string());
        return outcome::of(exit_code::usage, first, {{"errors", std::move(errors)}});
    }
    auto begun = core_.append(
        journal_kinds::stages,
        {{"state", "begun"},
         {"what", to_string(what)},
         {"of", read.value->stages.size()},
         {"file", file},
         {"by", given.asked_by}}
    );
    if (!begun) {
        return outcome::of(exit_code::failed, begun.error().message);
    }
    std::unique_ptr<stages_door> door;
    if (what == stages_of::canary) {
        door = std::make_unique<canary_door>(core_, canary_, *read.value, *wanted);
    } else {
        door = std::make_unique<admission_door>(core_, admission_, *read.value);
    }
    return start(std::move(*read.value), std::move(door), given.asked_by);
}

/// The first stage, by whoever holds the operation lock.
outcome
stages_control::start(stages_plan plan, std::unique_ptr<stages_door> door, const std::string& by) {
    core_.engine.read_load(core_.id, true);
    const service_reading before = door->read();
    const auto entered = door->enter_holding_lock({1, plan.stages.size(), by, {}});
    if (!entered) {
        door->note("over", {{"outcome", "failed"}});
        return outcome::of(exit_code::failed, entered.error().message);
    }
    const bool is_canary = plan.what == stages_of::canary;
    auto run = std::make_shared<stages_run>(std::move(plan), std::move(door), by);
    run->begin(before);
    std::shared_ptr<stages_run> before_it;
    {
        const std::lock_guard guard(core_.mutex);
        before_it = std::exchange(last_, run);
    }
    core_.lock.set_stages(run->what());
    before_it.reset();  // joins its thread
    run->start_thread();
    const auto sessions = core_.traffic.sessions();
    json::object result{{"gate", core_.gate_word()}};
    if (is_canary) {
        result["canary"] = canary_.json(sessions);
    } else {
        for (auto& field : admission_.json(sessions)) {
            result[field.key()] = std::move(field.value());
        }
    }
    result["stages"] = run->status();
    return outcome::done(std::move(result));
}

/// A file of stages that split what the service's clients do now.
outcome stages_control::propose(const request& given) {
    const std::string by = given.text("by", "sessions");
    const auto loads = loads_of(core_.traffic.sessions(), by);
    const auto parts = split_load(loads, planned_stages(given));
    if (parts.empty()) {
        return outcome::of(
            exit_code::refused,
            "service " + core_.name() + " has no clients with " + by + " to split"
        );
    }
    json::array rows;
    for (const load_part& part : parts) {
        rows.push_back(
            {{"percent", part.percent},
             {"addresses", part.addresses},
             {"admit", json::array(part.tokens.begin(), part.tokens.end())}}
        );
    }
    return outcome::done({{"by", by}, {"parts", std::move(rows)}, {"file", stages_file(parts, by)}}
    );
}

outcome stages_control::change(const request& given) {
    const auto run = core_.lock.stages() ? last() : nullptr;
    if (!run || run->what() != kind_of(given)) {
        const bool is_canary = kind_of(given) == stages_of::canary;
        return outcome::of(
            exit_code::refused,
            "service " + core_.name() + (is_canary ? " has no canary" : " admits nobody") +
                " in stages"
        );
    }
    if (given.has("pause")) {
        return run->pause(given.asked_by);
    }
    return given.has("resume") ? run->resume(given.asked_by) : run->skip(given.asked_by);
}

void stages_control::were_cut(const stages_record& found) {
    const std::string why = why_cut(found.what);
    spdlog::warn(
        "stages_over service={} what={} stage={} of={} reason=\"{}\"",
        core_.name(),
        to_string(found.what),
        found.stage,
        found.of,
        why
    );
    json::object record{
        {"state", "over"},
        {"what", to_string(found.what)},
        {"outcome", "restart"},
        {"stage", found.stage},
        {"of", found.of},
        {"by", found.by}};
    (void)core_.append(journal_kinds::stages, record);
    record["why"] = why;
    cut_ = std::move(record);
}

json::value stages_control::json() const {
    const auto run = last();
    return run ? json::value(run->status()) : cut_;
}

}  // namespace pgsluice::control
