#pragma once

#include "control/base/deadline.hpp"
#include "control/stages/machine.hpp"
#include "control/stages/plan.hpp"
#include "proxy/model/stats.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>

namespace pgsluice::control {

/// One look at a service.
struct service_reading {
    limits::clock::time_point at{};
    proxy::load_readings load{};  ///< since the run began; of a canary, its clients' alone
    /// Of a canary: what the clients got meanwhile that are on the route.
    std::optional<proxy::load_readings> beside{};
    std::size_t held = 0;                 ///< new clients that wait
    std::size_t backend_connections = 0;  ///< sessions that have one; of a canary, there
    bool gate_open = true;
};

/// Judges guards by readings that are taken now and then: those of this stage alone, and of the
/// span that the guard looks back. The baseline of latency is the first stage, as long as it lasts;
/// of a canary it is what the route's clients get at the same time. No clock of its own, no
/// effects.
class guard_meter {
public:
    /// `look_back`: the longest span of any guard.
    explicit guard_meter(std::chrono::milliseconds look_back) : look_back_(look_back) {}

    /// Another stage is in force: what came before does not count any more.
    void begin_stage(std::size_t stage, const service_reading& now);
    void add(service_reading now);

    /// Of the kinds that are no probes. Before the first reading everything passes.
    guard_verdict judge(const guard_config& guard) const;

    /// What the answer of a guard's statement or command means.
    static guard_verdict judge_value(const guard_config& guard, const std::string& value);
    static guard_verdict judge_failure(const guard_config& guard, const std::string& why);

private:
    const service_reading& start_of(std::chrono::milliseconds over) const;
    proxy::load_readings window(std::chrono::milliseconds over) const;
    std::optional<double> bound_beside(const guard_config& guard) const;
    guard_verdict judge_errors(const guard_config& guard) const;
    guard_verdict judge_latency(const guard_config& guard) const;
    std::optional<double> latency_bound(const guard_config& guard) const;

    std::chrono::milliseconds look_back_;
    std::size_t stage_ = 0;
    std::deque<service_reading> readings_;  ///< of this stage, oldest first; never many
    std::optional<service_reading> now_;
    std::optional<proxy::load_readings> baseline_before_;  ///< the load when stage 1 began
    std::optional<proxy::load_readings> baseline_;         ///< what stage 1 has brought
};

}  // namespace pgsluice::control
