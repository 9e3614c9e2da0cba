#pragma once

#include <atomic>
#include <chrono>

namespace pgsluice::control {

/// Until when something may go on.
struct limits {
    using clock = std::chrono::steady_clock;
    clock::time_point deadline;
    const std::atomic<bool>* aborted = nullptr;  ///< the operator said stop; may be null

    bool passed() const { return clock::now() >= deadline; }
    bool stopped() const { return aborted != nullptr && aborted->load(std::memory_order_relaxed); }
};

}  // namespace pgsluice::control
