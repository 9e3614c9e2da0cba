#pragma once

#include "control/config/config.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::control {

/// One cutover's deviations from the configuration, in a file of its own (configs/cutover.yaml):
/// the keys of `services.NAME.cutover` and `services.NAME.replication`, the former without
/// `cutover.`.
struct cutover_plan {
    service_config service;  ///< the configuration with the plan's values in it
    std::string from;        ///< the backend it is written for; empty = any
    std::string to;          ///< empty = as the command says
};

/// What reading a plan gives: a plan only when there is not one error.
struct plan_outcome {
    std::optional<cutover_plan> value;
    std::vector<config_problem> errors;
};

/// Reads and validates YAML text as parse_config() does.
plan_outcome parse_plan(std::string_view yaml, const service_config& configured);

/// parse_plan() on a file's contents. An unreadable file is an error at line 1, column 1.
plan_outcome load_plan(const std::string& path, const service_config& configured);

}  // namespace pgsluice::control
