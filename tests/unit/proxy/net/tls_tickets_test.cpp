// Keys of session tickets over time. What clients make of tickets is in
// integration/test_tls_tickets.py.
#include "proxy/net/tls_tickets.hpp"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace pgsluice::proxy {
namespace {

using namespace std::chrono_literals;

constexpr ticket_keys::clock::time_point start{};

TEST(TicketKeys, OneKeySealsForALifetimeAndOpensForAnother) {
    ticket_keys keys(1h);
    const auto first = *keys.current(start);
    EXPECT_EQ(keys.current(start + 59min)->name, first.name);
    const auto second = *keys.current(start + 1h);
    EXPECT_NE(second.name, first.name);
    EXPECT_NE(second.cipher, first.cipher);
    EXPECT_NE(second.mac, first.mac);

    const auto found = keys.find(first.name.data(), start + 1h + 59min);
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(found->value.cipher, first.cipher);
    EXPECT_FALSE(found->is_current) << "its tickets are to be replaced";
    EXPECT_TRUE(keys.find(second.name.data(), start + 1h)->is_current);
    EXPECT_FALSE(keys.find(first.name.data(), start + 2h).has_value());
    EXPECT_TRUE(keys.find(second.name.data(), start + 2h).has_value());
}

TEST(TicketKeys, TwoRotationsForgetAKey) {
    ticket_keys keys(1h);
    const auto first = *keys.current(start);
    static_cast<void>(keys.current(start + 1h));
    static_cast<void>(keys.current(start + 2h));
    EXPECT_FALSE(keys.find(first.name.data(), start + 1h).has_value());
}

TEST(TicketKeys, KeysThatNobodySealedWithForLongOpenNothing) {
    ticket_keys keys(1h);
    const auto first = *keys.current(start);
    EXPECT_FALSE(keys.find(first.name.data(), start + 24h).has_value());
    EXPECT_NE(keys.current(start + 24h)->name, first.name);
}

TEST(TicketKeys, OthersKeysAreUnknown) {
    ticket_keys keys(1h);
    ticket_keys others(1h);
    EXPECT_FALSE(keys.find(others.current(start)->name.data(), start).has_value());
    static_cast<void>(keys.current(start));
    EXPECT_FALSE(keys.find(others.current(start)->name.data(), start).has_value());
}

TEST(TicketKeys, AllThreadsGetTheSameKey) {
    ticket_keys keys(1h);
    std::vector<std::thread> threads;
    std::vector<ticket_keys::key> got(8);
    for (auto& each : got) {
        threads.emplace_back([&keys, &each] { each = *keys.current(start); });
    }
    for (auto& thread : threads) {
        thread.join();
    }
    for (const auto& each : got) {
        EXPECT_EQ(each.name, got[0].name);
    }
}

}  // namespace
}  // namespace pgsluice::proxy
