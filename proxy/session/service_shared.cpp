// Counts and limits of one service, over all workers, and the progress that the control plane waits
// for.

#include "proxy/session/service_shared.hpp"

#include <functional>

namespace pgsluice::proxy {

bool service_shared::try_greet(std::uint32_t strangers_max) noexcept {
    if (strangers_.fetch_add(1, std::memory_order_relaxed) < strangers_max) {
        return true;
    }
    part();
    return false;
}

bool service_shared::try_admit(std::uint32_t clients_max) noexcept {
    if (clients_.fetch_add(1, std::memory_order_relaxed) < clients_max) {
        return true;
    }
    leave();
    return false;
}

bool service_shared::try_open_console(std::uint32_t consoles_max) noexcept {
    if (consoles_.fetch_add(1, std::memory_order_relaxed) < consoles_max) {
        return true;
    }
    close_console();
    return false;
}

void service_shared::publish(std::size_t worker, const service_progress& share) {
    {
        const std::lock_guard lock(progress_mutex_);
        if (published_[worker] == share) {
            return;
        }
        published_[worker] = share;
    }
    changed_.notify_all();
}

service_progress service_shared::sum() const {
    service_progress total;
    for (const service_progress& share : published_) {
        total.held += share.held;
        total.sessions += share.sessions;
        total.parked += share.parked;
        total.long_running += share.long_running;
        total.draining += share.draining;
        total.to_reconnect += share.to_reconnect;
        total.to_follow += share.to_follow;
        total.on_canary += share.on_canary;
        total.unguarded += share.unguarded;
        total.prepared += share.prepared;
        total.preparing += share.preparing;
        total.settled += share.settled;
        total.pinned += share.pinned;
        total.unready += share.unready;
        total.to_switch += share.to_switch;
        total.to_cross += share.to_cross;
        total.switched += share.switched;
        total.lost += share.lost;
    }
    return total;
}

service_progress service_shared::progress() const {
    const std::lock_guard lock(progress_mutex_);
    return sum();
}

bool service_shared::wait(
    const std::function<bool(const service_progress&)>& done,
    std::chrono::steady_clock::time_point deadline
) {
    std::unique_lock lock(progress_mutex_);
    bool reached = false;
    const auto over = [&] {
        reached = !interrupted_ && done(sum());
        return reached || interrupted_;
    };
    if (deadline == std::chrono::steady_clock::time_point::max()) {
        changed_.wait(lock, over);
    } else {
        changed_.wait_until(lock, deadline, over);
    }
    interrupted_ = false;
    return reached;
}

void service_shared::interrupt() {
    {
        const std::lock_guard lock(progress_mutex_);
        interrupted_ = true;
    }
    changed_.notify_all();
}

bool service_shared::learn(std::string_view name) {
    const std::lock_guard lock(names_mutex_);
    if (names_.size() >= names_max || !names_.emplace(name).second) {
        return false;
    }
    names_version_.fetch_add(1, std::memory_order_release);
    return true;
}

void service_shared::names_since(std::uint64_t& version, std::vector<std::string>& into) const {
    if (version == names_version_.load(std::memory_order_acquire)) {
        return;
    }
    const std::lock_guard lock(names_mutex_);
    version = names_version_.load(std::memory_order_relaxed);
    into.assign(names_.begin(), names_.end());
}

service_stats service_shared::stats() const noexcept {
    service_stats total;
    for (const shard_counters& c : counters_) {
        total.clients_accepted += c.clients_accepted.load(std::memory_order_relaxed);
        total.clients_refused += c.clients_refused.load(std::memory_order_relaxed);
        total.logins_failed += c.logins_failed.load(std::memory_order_relaxed);
        total.connects_failed += c.connects_failed.load(std::memory_order_relaxed);
        total.sessions_moved += c.sessions_moved.load(std::memory_order_relaxed);
        total.sessions_lost += c.sessions_lost.load(std::memory_order_relaxed);
        total.cancels_forwarded += c.cancels_forwarded.load(std::memory_order_relaxed);
        total.clients_logged_in += c.clients_logged_in.load(std::memory_order_relaxed);
    }
    return total;
}

}  // namespace pgsluice::proxy
