#pragma once

#include "proxy/access/failure_limit.hpp"
#include "proxy/access/unauthenticated_limit.hpp"
#include "proxy/model/service_progress.hpp"
#include "proxy/model/stats.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace pgsluice::proxy {

/// Counters of one worker; only that worker writes.
struct shard_counters {
    std::atomic<std::uint64_t> clients_accepted{0};
    std::atomic<std::uint64_t> clients_refused{0};
    std::atomic<std::uint64_t> logins_failed{0};
    std::atomic<std::uint64_t> connects_failed{0};
    std::atomic<std::uint64_t> sessions_moved{0};
    std::atomic<std::uint64_t> sessions_lost{0};
    std::atomic<std::uint64_t> cancels_forwarded{0};
    std::atomic<std::uint64_t> clients_logged_in{0};

    static void bump(std::atomic<std::uint64_t>& counter) noexcept {
        counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }
};

/// What the workers of one service share with each other and with the control plane. Any thread.
class service_shared {
public:
    service_shared(std::size_t id, std::size_t workers)
        : id_(id), published_(workers), counters_(workers) {}

    std::size_t id() const noexcept { return id_; }

    /// A connection is a stranger until the proxy has let it in, or passes it on to a backend that
    /// will ask; from then on it counts as a client. Strangers cannot take clients' places.
    bool try_greet(std::uint32_t strangers_max) noexcept;
    void part() noexcept { strangers_.fetch_sub(1, std::memory_order_relaxed); }
    bool try_admit(std::uint32_t clients_max) noexcept;
    void leave() noexcept { clients_.fetch_sub(1, std::memory_order_relaxed); }

    /// A session of the console is no client, and stays a stranger.
    bool try_open_console(std::uint32_t consoles_max) noexcept;
    void close_console() noexcept { consoles_.fetch_sub(1, std::memory_order_relaxed); }

    /// What clients get wrong, by address.
    failure_limit& failed_logins() noexcept { return failed_logins_; }
    failure_limit& unknown_cancels() noexcept { return unknown_cancels_; }

    /// Connections that have not logged in, by address.
    newcomer_limit& newcomers() noexcept { return newcomers_; }

    /// A worker's share of service_progress; wakes whoever waits if it changed.
    void publish(std::size_t worker, const service_progress& share);
    service_progress progress() const;

    /// As engine::wait() and engine::interrupt().
    bool wait(
        const std::function<bool(const service_progress&)>& done,
        std::chrono::steady_clock::time_point deadline
    );
    void interrupt();

    /// Adds a custom setting's name; true if it is new. At most `names_max` are kept.
    bool learn(std::string_view name);
    /// Copies the names into `into` if there are other ones than at `version`, and updates that.
    void names_since(std::uint64_t& version, std::vector<std::string>& into) const;

    shard_counters& counters(std::size_t worker) noexcept { return counters_[worker]; }
    service_stats stats() const noexcept;

private:
    static constexpr std::size_t names_max = 2000;
    service_progress sum() const;

    const std::size_t id_;
    std::atomic<std::uint32_t> strangers_{0};
    std::atomic<std::uint32_t> clients_{0};
    std::atomic<std::uint32_t> consoles_{0};
    failure_limit failed_logins_;
    failure_limit unknown_cancels_;
    newcomer_limit newcomers_;

    mutable std::mutex progress_mutex_;
    std::condition_variable changed_;
    std::vector<service_progress> published_;
    bool interrupted_ = false;

    mutable std::mutex names_mutex_;
    std::set<std::string, std::less<>> names_;
    std::atomic<std::uint64_t> names_version_{0};

    std::vector<shard_counters> counters_;
};

}  // namespace pgsluice::proxy
