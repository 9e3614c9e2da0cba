#pragma once

#include "proxy/model/stats.hpp"

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace pgsluice::control {

/// What SHOW STATS shows of a service, in PgBouncer's units: bytes and microseconds.
struct traffic_counts {
    std::uint64_t assignments = 0;  ///< sessions that were given a server: logins and moves
    std::uint64_t transactions = 0;
    std::uint64_t queries = 0;
    std::uint64_t received_bytes = 0;
    std::uint64_t sent_bytes = 0;
    std::uint64_t transaction_us = 0;
    std::uint64_t wait_us = 0;  ///< of clients that were held
    std::uint64_t waits = 0;
    std::uint64_t logins = 0;
    bool operator==(const traffic_counts&) const = default;
};

traffic_counts
counts_of(const proxy::service_stats& stats, const proxy::service_traffic& traffic) noexcept;

/// Of the time between the two: counts and bytes a second; of the times the mean of a transaction
/// and of a wait. All zero where no time has passed.
traffic_counts averages_between(
    const traffic_counts& older, const traffic_counts& newer, std::chrono::microseconds between
) noexcept;

/// Reads the counts of all services at the end of each period, on a thread of its own, so that
/// there are averages whenever somebody asks for them.
class traffic_sampler {
public:
    struct surroundings {
        std::function<std::vector<traffic_counts>()> read;
        std::function<std::chrono::milliseconds()> period;  ///< asked for every interval
        std::chrono::milliseconds interval{250};
    };

    explicit traffic_sampler(surroundings around);
    ~traffic_sampler();
    traffic_sampler(const traffic_sampler&) = delete;
    traffic_sampler& operator=(const traffic_sampler&) = delete;

    /// Of the last period that is over; zero before the first one is. Any thread.
    traffic_counts averages(std::size_t service) const;

private:
    using clock = std::chrono::steady_clock;
    struct sample {
        clock::time_point at{};
        std::vector<traffic_counts> services{};
    };

    void run();
    sample take() const;
    bool wait();

    surroundings around_;
    mutable std::mutex mutex_;  ///< of everything down to stopping_
    std::condition_variable stop_;
    sample older_;
    sample newer_;
    bool stopping_ = false;
    std::thread thread_;
};

}  // namespace pgsluice::control
