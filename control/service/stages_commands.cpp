// Runs of stages of one service: `admit --stages` and `canary --stages`, what the operator may do
// with them, and a file for one.
#include "control/commands/argument_rules.hpp"
#include "control/records/admission.hpp"
#include "control/records/canary.hpp"
#include "control/service/staged.hpp"
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

/// What would change the set, or what the set is about, beside the stages.
bool service_operations::is_barred_by_stages(std::string_view name) const {
    if (!is_staging_) {
        return false;
    }
    const bool is_canary = stages_->what() == stages_of::canary;
    return name == stages_start || name == (is_canary ? "canary" : "admit") || name == "cutover" ||
           name == "retarget" || name == "rollback";
}

std::string service_operations::staging_words() const {
    return "service " + settings_->name +
           (stages_->what() == stages_of::canary
                ? " has a canary in stages; abort ends that, and the canary stays"
                : " admits its clients in stages; abort ends that, and the set stays");
}

std::shared_ptr<stages_run> service_operations::stages_under_way() const {
    const std::lock_guard guard(mutex_);
    return is_staging_ ? stages_ : nullptr;
}

outcome service_operations::begin_stages(const request& given) {
    const auto own = begin(stages_start);
    if (!own) {
        return busy();
    }
    const stages_of what = kind_of(given);
    const auto wanted = what == stages_of::canary ? wanted_canary(given) : canary_record{};
    if (auto refused = refused_target(wanted)) {
        return *refused;
    }
    const std::string file = given.text("stages");
    stages_outcome read = load_stages(file, *settings(), what);
    if (!read.value) {
        json::array errors;
        for (const config_problem& problem : read.errors) {
            errors.emplace_back(format_problem(file, problem));
        }
        const std::string first(errors.front().as_string());
        return outcome::of(exit_code::usage, first, {{"errors", std::move(errors)}});
    }
    auto begun = append(
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
        door = std::make_unique<canary_door>(*this, *read.value, *wanted);
    } else {
        door = std::make_unique<admission_door>(*this, *read.value);
    }
    return start_stages(std::move(*read.value), std::move(door), given.asked_by);
}

/// The first stage, by whoever has the turn.
outcome service_operations::start_stages(
    stages_plan plan, std::unique_ptr<stages_door> door, const std::string& by
) {
    around_.engine.read_load(id_, true);
    const service_reading before = door->read();
    const auto entered = door->enter_in_turn({1, plan.stages.size(), by, {}});
    if (!entered) {
        door->note("over", {{"outcome", "failed"}});
        return outcome::of(exit_code::failed, entered.error().message);
    }
    const bool is_canary = plan.what == stages_of::canary;
    auto run = std::make_shared<stages_run>(std::move(plan), std::move(door), by);
    run->begin(before);
    std::shared_ptr<stages_run> last;
    {
        const std::lock_guard guard(mutex_);
        last = std::exchange(stages_, run);
        is_staging_ = true;
    }
    last.reset();  // joins its thread
    run->start_thread();
    const auto sessions = traffic_.sessions();
    json::object result{{"gate", gate_word()}};
    if (is_canary) {
        result["canary"] = canary_json(sessions);
    } else {
        for (auto& field : admission_json(sessions)) {
            result[field.key()] = std::move(field.value());
        }
    }
    result["stages"] = run->status();
    return outcome::done(std::move(result));
}

/// A file of stages that split what the service's clients do now.
outcome service_operations::propose_stages(const request& given) {
    const std::string by = given.text("by", "sessions");
    const auto loads = loads_of(traffic_.sessions(), by);
    const auto parts = split_load(loads, planned_stages(given));
    if (parts.empty()) {
        return outcome::of(
            exit_code::refused, "service " + name() + " has no clients with " + by + " to split"
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

outcome service_operations::change_stages(const request& given) {
    const auto run = stages_under_way();
    if (!run || run->what() != kind_of(given)) {
        const bool is_canary = kind_of(given) == stages_of::canary;
        return outcome::of(
            exit_code::refused,
            "service " + name() + (is_canary ? " has no canary" : " admits nobody") + " in stages"
        );
    }
    if (given.has("pause")) {
        return run->pause(given.asked_by);
    }
    return given.has("resume") ? run->resume(given.asked_by) : run->skip(given.asked_by);
}

void service_operations::stages_were_cut(const stages_record& found) {
    const std::string why = why_cut(found.what);
    spdlog::warn(
        "stages_over service={} what={} stage={} of={} why=\"{}\"",
        name(),
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
    (void)append(journal_kinds::stages, record);
    record["why"] = why;
    stages_cut_ = std::move(record);
}

json::value service_operations::stages_json() const {
    std::shared_ptr<stages_run> run;
    {
        const std::lock_guard guard(mutex_);
        run = stages_;
    }
    return run ? json::value(run->status()) : stages_cut_;
}

}  // namespace pgsluice::control
