#pragma once

#include "control/config/yaml_section.hpp"
#include "control/stages/plan.hpp"

#include <string_view>
#include <vector>

namespace pgsluice::control {

/// A row of a key table that is read and never shown.
template <class Target>
config_key<Target>
row(std::string_view name,
    std::string_view type,
    std::optional<std::string> (*set)(Target&, std::string_view)) {
    config_key<Target> key{.name = name, .type = type};
    key.set = set;
    return key;
}

template <class Target>
config_key<Target> list(
    std::string_view name,
    std::string_view type,
    std::optional<std::string> (*set)(Target&, std::string_view)
) {
    config_key<Target> key = row(name, type, set);
    key.is_list = true;
    return key;
}

/// Reads one guard, a mapping, and adds it to `into`; what is wrong with it goes to `errors`.
void read_guard(
    const YAML::Node& node,
    place at,
    const service_config& service,
    std::vector<guard_config>& into,
    problem_list& errors
);

}  // namespace pgsluice::control
