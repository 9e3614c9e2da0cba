#pragma once

#include <atomic>
#include <chrono>

namespace pgsluice::control {

/// The steady clock, as far as the control plane decides by it. A simulation of cutovers puts a
/// time of its own in its place, for its own thread.
struct control_clock {
    using duration = std::chrono::steady_clock::duration;
    using rep = duration::rep;
    using period = duration::period;
    using time_point = std::chrono::steady_clock::time_point;
    static constexpr bool is_steady = true;

    static time_point now() noexcept {
        return simulated == nullptr ? std::chrono::steady_clock::now() : *simulated;
    }

    /// Tests only: not owned, null in normal life.
    static inline thread_local const time_point* simulated = nullptr;
};

/// Until when something may go on.
struct limits {
    using clock = control_clock;
    clock::time_point deadline;
    const std::atomic<bool>* aborted = nullptr;  ///< the operator said stop; may be null

    bool passed() const { return clock::now() >= deadline; }
    bool stopped() const { return aborted != nullptr && aborted->load(std::memory_order_relaxed); }
};

}  // namespace pgsluice::control
