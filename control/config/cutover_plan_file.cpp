// The plan's keys are the configuration's own, by another name: one table serves both.
#include "control/config/cutover_plan_file.hpp"

#include "control/config/resolve.hpp"
#include "control/config/yaml_section.hpp"

#include <fstream>
#include <sstream>

namespace pgsluice::control {
namespace {

std::vector<config_key<service_config>> plan_keys() {
    constexpr std::string_view cutover = "cutover.";
    constexpr std::string_view replication = "replication.";
    std::vector<config_key<service_config>> keys;
    for (config_key<service_config> key : service_keys()) {
        if (key.name.starts_with(cutover)) {
            key.name.remove_prefix(cutover.size());
            keys.push_back(key);
        } else if (key.name.starts_with(replication) || key.name.starts_with("checks.")) {
            keys.push_back(key);
        }
    }
    return keys;
}

/// Takes `name: BACKEND` out of the mapping, for the table knows no names of backends.
std::string take_backend(
    YAML::Node& map, const char* name, const service_config& service, problem_list& errors
) {
    const YAML::Node value = map[name];
    if (!value.IsDefined()) {
        return {};
    }
    const place at = place_of(value, place{});
    const std::string text = value.IsScalar() ? value.Scalar() : "";
    map.remove(name);
    if (service.find_backend(text) == nullptr) {
        const failure why = no_such_backend(service, text);
        errors.push_back({at.line, at.column, std::string(name) + ": " + why.message});
    }
    return text;
}

void read_plan(YAML::Node& document, cutover_plan& plan, problem_list& errors) {
    if (!document.IsMap()) {
        errors.push_back(
            {1, 1, "the plan holds " + kind_of(document) + ", expected a mapping of keys"}
        );
        return;
    }
    plan.from = take_backend(document, "from", plan.service, errors);
    plan.to = take_backend(document, "to", plan.service, errors);
    if (document["prewarm"].IsDefined()) {
        plan.service.cutover.prewarm.clear();  // a list takes the place of the configured one
    }
    const auto keys = plan_keys();
    section<service_config> s(plan.service, keys, "", "", errors);
    s.read(document);
    const replication_config& replication = plan.service.replication;
    const bool is_logical = replication.kind == replication_kind::logical;
    if (is_logical && replication.subscription.empty()) {
        errors.push_back({1, 1, "replication is logical, expected \"subscription\" to name one"});
    }
    if (plan.service.cutover.lacks_fence_commands()) {
        errors.push_back({1, 1, "fence is command, expected fence_command and unfence_command"});
    }
    if (!is_logical && replication.reverse == reverse_mode::on) {
        errors.push_back({1, 1, "replication.reverse is on, expected replication.kind logical"});
    }
}

}  // namespace

plan_outcome parse_plan(std::string_view yaml, const service_config& configured) {
    plan_outcome outcome;
    cutover_plan plan{.service = configured, .from = {}, .to = {}};
    try {
        YAML::Node document = YAML::Load(std::string(yaml));
        read_plan(document, plan, outcome.errors);
    } catch (const YAML::Exception& e) {
        const place at = place_of(e.mark);
        outcome.errors.push_back(
            {at.line, at.column, "YAML: " + e.msg + ", expected a well-formed document"}
        );
    }
    if (outcome.errors.empty()) {
        outcome.value = std::move(plan);
    }
    return outcome;
}

plan_outcome load_plan(const std::string& path, const service_config& configured) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    if (!file || (!(text << file.rdbuf()) && file.peek() != std::ifstream::traits_type::eof())) {
        plan_outcome outcome;
        outcome.errors.push_back({1, 1, "the file cannot be read, expected a plan in YAML"});
        return outcome;
    }
    return parse_plan(text.str(), configured);
}

}  // namespace pgsluice::control
