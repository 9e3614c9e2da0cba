// Differences of counters between two readings, for each service.

#include "control/metrics/traffic_averages.hpp"

#include <utility>

namespace pgsluice::control {

namespace {

using std::chrono::microseconds;

std::uint64_t in_us(std::chrono::steady_clock::duration span) {
    return static_cast<std::uint64_t>(std::chrono::duration_cast<microseconds>(span).count());
}

/// In floating point: bytes times microseconds do not fit 64 bits for long.
std::uint64_t per_second(std::uint64_t grown, microseconds between) {
    const double seconds = std::chrono::duration<double>(between).count();
    return static_cast<std::uint64_t>(static_cast<double>(grown) / seconds + 0.5);
}

std::uint64_t mean(std::uint64_t sum, std::uint64_t count) {
    return count == 0 ? 0 : sum / count;
}

}  // namespace

traffic_counts
counts_of(const proxy::service_stats& stats, const proxy::service_traffic& traffic) noexcept {
    return {
        .assignments = stats.clients_logged_in + stats.sessions_moved,
        .transactions = traffic.sum.transactions,
        .queries = traffic.sum.queries,
        .received_bytes = traffic.sum.received_bytes,
        .sent_bytes = traffic.sum.sent_bytes,
        .transaction_us = in_us(traffic.sum.working),
        .wait_us = in_us(traffic.waited),
        .waits = traffic.waits,
        .logins = stats.clients_logged_in};
}

traffic_counts averages_between(
    const traffic_counts& older, const traffic_counts& newer, microseconds between
) noexcept {
    if (between.count() <= 0) {
        return {};
    }
    const auto rate = [&](std::uint64_t traffic_counts::*what) {
        return per_second(newer.*what - older.*what, between);
    };
    return {
        .assignments = rate(&traffic_counts::assignments),
        .transactions = rate(&traffic_counts::transactions),
        .queries = rate(&traffic_counts::queries),
        .received_bytes = rate(&traffic_counts::received_bytes),
        .sent_bytes = rate(&traffic_counts::sent_bytes),
        .transaction_us = mean(
            newer.transaction_us - older.transaction_us, newer.transactions - older.transactions
        ),
        .wait_us = mean(newer.wait_us - older.wait_us, newer.waits - older.waits),
        .waits = rate(&traffic_counts::waits),
        .logins = rate(&traffic_counts::logins)};
}

traffic_sampler::traffic_sampler(surroundings around) : around_(std::move(around)) {
    newer_ = take();
    thread_ = std::thread([this] { run(); });
}

traffic_sampler::~traffic_sampler() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    stop_.notify_all();
    thread_.join();
}

traffic_sampler::sample traffic_sampler::take() const {
    sample taken{.at = clock::now(), .services = around_.read()};
    return taken;
}

/// False when this object is about to go.
bool traffic_sampler::wait() {
    std::unique_lock lock(mutex_);
    return !stop_.wait_for(lock, around_.interval, [this] { return stopping_; });
}

void traffic_sampler::run() {
    clock::time_point last = newer_.at;
    while (wait()) {
        if (clock::now() - last < around_.period()) {
            continue;
        }
        sample taken = take();
        last = taken.at;
        const std::lock_guard lock(mutex_);
        older_ = std::exchange(newer_, std::move(taken));
    }
}

traffic_counts traffic_sampler::averages(std::size_t service) const {
    const std::lock_guard lock(mutex_);
    if (service >= older_.services.size()) {
        return {};
    }
    return averages_between(
        older_.services[service],
        newer_.services[service],
        std::chrono::duration_cast<microseconds>(newer_.at - older_.at)
    );
}

}  // namespace pgsluice::control
