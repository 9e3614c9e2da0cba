// How a daemon comes to its end: at once, or when its sessions have come to their boundaries.
#include "control/daemon/daemon.hpp"

#include <spdlog/spdlog.h>

#include <mutex>

namespace pgsluice::control {

namespace {

/// Several services tell at once; whoever listens hears one after the other.
class one_at_a_time {
public:
    explicit one_at_a_time(const progress_sink& tell) : tell_(tell) {}

    void tell(const boost::json::object& progress) {
        const std::lock_guard guard(mutex_);
        tell_(progress);
    }

private:
    std::mutex mutex_;
    const progress_sink& tell_;
};

}  // namespace

/// With `drain` nobody new comes in, and each session ends at its boundary; the services drain side
/// by side. Who is still at work when their time is over is ended with the process.
outcome daemon::shut_down(bool drain, const progress_sink& tell) {
    for (const auto& service : services_) {
        service->stop();
    }
    std::size_t left = 0;
    if (drain) {
        engine_.stop_listening();
        one_at_a_time told(tell);
        std::mutex mutex;
        std::vector<std::thread> drains;
        for (const auto& service : services_) {
            drains.emplace_back([&, each = service.get()] {
                const std::size_t now = each->sessions().wind_down(
                    [this] { return is_ending_.load(); },
                    [&](const boost::json::object& progress) { told.tell(progress); }
                );
                const std::lock_guard guard(mutex);
                left += now;
            });
        }
        for (std::thread& each : drains) {
            each.join();
        }
        spdlog::info("drained left={}", left);
    }
    arguments_.ask_to_stop();
    return drain ? outcome::done({{"left", left}}) : outcome::done({});
}

void daemon::wind_down() {
    if (winding_down_.joinable()) {
        return;
    }
    winding_down_ =
        std::thread([this] { (void)shut_down(true, [](const boost::json::object&) {}); });
}

}  // namespace pgsluice::control
