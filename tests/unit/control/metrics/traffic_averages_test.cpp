#include "control/metrics/traffic_averages.hpp"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

namespace pgsluice::control {
namespace {

using namespace std::chrono_literals;

TEST(TrafficStats, CountsInPgBouncersUnits) {
    proxy::service_stats stats;
    stats.clients_logged_in = 3;
    stats.sessions_moved = 2;
    proxy::service_traffic traffic;
    traffic.sum = {
        .transactions = 5, .queries = 7, .received_bytes = 11, .sent_bytes = 13, .working = 17ms};
    traffic.waits = 2;
    traffic.waited = 19us;
    const traffic_counts expected{
        .assignments = 5,
        .transactions = 5,
        .queries = 7,
        .received_bytes = 11,
        .sent_bytes = 13,
        .transaction_us = 17'000,
        .wait_us = 19,
        .waits = 2,
        .logins = 3};
    EXPECT_EQ(counts_of(stats, traffic), expected);
}

TEST(TrafficStats, AveragesAreRatesAndMeans) {
    const traffic_counts older{
        .assignments = 1,
        .transactions = 10,
        .queries = 20,
        .received_bytes = 1'000,
        .sent_bytes = std::uint64_t{1} << 52,
        .transaction_us = 100,
        .wait_us = 50,
        .waits = 1,
        .logins = 1};
    traffic_counts newer = older;
    newer.transactions += 20;
    newer.queries += 30;
    newer.received_bytes += 4'000;
    newer.sent_bytes += std::uint64_t{1} << 50;
    newer.transaction_us += 600;
    newer.wait_us += 90;
    newer.waits += 3;
    newer.logins += 1;
    const traffic_counts average = averages_between(older, newer, 2s);
    EXPECT_EQ(average.transactions, 10U);
    EXPECT_EQ(average.queries, 15U);
    EXPECT_EQ(average.received_bytes, 2'000U);
    EXPECT_EQ(average.sent_bytes, std::uint64_t{1} << 49);
    EXPECT_EQ(average.transaction_us, 30U);
    EXPECT_EQ(average.wait_us, 30U);
    EXPECT_EQ(average.logins, 1U) << "half a login a second is one";
    EXPECT_EQ(average.assignments, 0U);
}

TEST(TrafficStats, NothingIsDividedByNothing) {
    EXPECT_EQ(averages_between({}, {}, 0us), traffic_counts{});
    EXPECT_EQ(averages_between({}, {}, 1s), traffic_counts{});
}

TEST(TrafficSampler, HasAveragesOnceAPeriodIsOver) {
    std::mutex mutex;
    std::condition_variable changed;
    std::uint64_t reads = 0;
    traffic_sampler sampler(
        {.read =
             [&] {
                 const std::lock_guard lock(mutex);
                 ++reads;
                 changed.notify_all();
                 return std::vector<traffic_counts>{{.transactions = reads * 1'000'000}};
             },
         .period = [] { return 1ms; },
         .interval = 1ms}
    );
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return reads >= 3; });  // so that the second one is kept
    lock.unlock();
    EXPECT_GT(sampler.averages(0).transactions, 0U);
    EXPECT_EQ(sampler.averages(1), traffic_counts{}) << "no such service";
}

TEST(TrafficSampler, HasNoneBeforeAndEndsAtOnce) {
    const traffic_sampler sampler(
        {.read = [] { return std::vector<traffic_counts>{{.transactions = 5}}; },
         .period = [] { return 1h; },
         .interval = 1h}
    );
    EXPECT_EQ(sampler.averages(0), traffic_counts{});
}

}  // namespace
}  // namespace pgsluice::control
