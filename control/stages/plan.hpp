#pragma once

#include "control/config/config.hpp"
#include "control/records/stages.hpp"
#include "proxy/access/address_set.hpp"
#include "proxy/access/admission.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::control {

/// What a guard looks at.
enum class guard_kind : std::uint8_t { errors, latency, held, backend_connections, sql, command };
inline constexpr std::size_t guard_kinds = 6;
std::string_view to_string(guard_kind kind) noexcept;

/// What a failed guard does.
enum class guard_policy : std::uint8_t {
    hold,       ///< the stage lasts until the guard has passed for a whole dwell time
    fall_back,  ///< the set of the stage before is admitted, and the run waits for the operator
};

/// One condition under which a stage may go on.
struct guard_config {
    guard_kind kind = guard_kind::errors;
    std::string name{};  ///< for messages; empty = its kind
    guard_policy on_fail = guard_policy::hold;

    std::vector<std::string> classes{};     ///< errors: of SQLSTATEs that count; empty = any
    std::optional<double> max{};            ///< percent, a number, or milliseconds of latency
    std::optional<double> min{};            ///< sql
    double quantile = 99;                   ///< latency: percent of the answers
    std::optional<double> factor{};         ///< latency: of the baseline, instead of `max`
    std::chrono::milliseconds baseline{0};  ///< latency: 0 = as measured, see guard_meter
    std::string text{};                     ///< the statement, or the command for /bin/sh
    std::string backend{};                  ///< sql: where it runs; empty = the route

    std::chrono::milliseconds over{30'000};    ///< errors and latency: how far it looks back
    std::uint32_t at_least = 20;               ///< errors and latency: fewer answers pass
    std::chrono::milliseconds every{5'000};    ///< sql and command: how often it is asked
    std::chrono::milliseconds timeout{5'000};  ///< sql and command: what takes longer has failed

    bool counts_answers() const {
        return kind == guard_kind::errors || kind == guard_kind::latency;
    }
    bool is_probe() const { return kind == guard_kind::sql || kind == guard_kind::command; }
    std::string label() const { return name.empty() ? std::string(to_string(kind)) : name; }
};

struct stage_config {
    std::vector<std::string> tokens;  ///< of the set, as given
    proxy::address_set set;
    /// How long the guards have to pass before the next stage, or the end.
    std::optional<std::chrono::milliseconds> dwell;
    std::vector<guard_config> guards;  ///< those of all stages, then its own
};

/// A file for `sluicectl admit --stages` or `canary --stages`.
struct stages_plan {
    stages_of what = stages_of::admission;
    std::vector<stage_config> stages;  ///< at least one
    std::vector<guard_config> guards;  ///< of every stage
    std::optional<std::chrono::milliseconds> dwell;
    std::string refuse;  ///< told to new clients outside; empty = they are held, or it is a canary

    proxy::admission admission_of(std::size_t stage) const {
        return {.set = stages[stage].set, .refuses = !refuse.empty(), .message = refuse};
    }
};

/// What reading a file gives: a plan only when there is not one error.
struct stages_outcome {
    std::optional<stages_plan> value;
    std::vector<config_problem> errors;  ///< all of them, by line
};

/// Reads and validates YAML text as parse_config() does.
stages_outcome parse_stages(
    std::string_view yaml, const service_config& service, stages_of what = stages_of::admission
);

/// parse_stages() on a file's contents. An unreadable file is an error at line 1, column 1.
stages_outcome load_stages(
    const std::string& path, const service_config& service, stages_of what = stages_of::admission
);

}  // namespace pgsluice::control
