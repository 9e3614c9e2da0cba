#include "proxy/access/failure_limit.hpp"

#include <gtest/gtest.h>

namespace pgsluice::proxy {
namespace {

using std::chrono::seconds;

constexpr failure_limit::time start{};

client_address v4(std::uint8_t last, std::uint8_t third = 0) {
    return {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, third, last}, false};
}

client_address v6(std::uint8_t eighth, std::uint8_t last) {
    return {{0x20, 1, 0x0d, 0xb8, 0, 0, 0, eighth, 0, 0, 0, 0, 0, 0, 0, last}, false};
}

TEST(FailureLimit, IsReachedByOneAddressAlone) {
    failure_limit limit;
    EXPECT_FALSE(limit.is_reached(v4(1), 3, start));
    EXPECT_FALSE(limit.count(v4(1), 3, start));
    EXPECT_FALSE(limit.count(v4(1), 3, start));
    EXPECT_FALSE(limit.is_reached(v4(1), 3, start));
    EXPECT_TRUE(limit.count(v4(1), 3, start)) << "the one that reaches it";
    EXPECT_TRUE(limit.is_reached(v4(1), 3, start));
    EXPECT_FALSE(limit.count(v4(1), 3, start)) << "is told once";
    EXPECT_FALSE(limit.is_reached(v4(2), 3, start));
}

TEST(FailureLimit, IsForgottenWithItsWindow) {
    failure_limit limit;
    limit.count(v4(1), 1, start);
    EXPECT_TRUE(limit.is_reached(v4(1), 1, start + failure_limit::window - seconds(1)));
    EXPECT_FALSE(limit.is_reached(v4(1), 1, start + failure_limit::window));
    EXPECT_EQ(limit.size(), 0U);
    limit.count(v4(1), 2, start);
    limit.count(v4(1), 2, start + failure_limit::window);
    EXPECT_FALSE(limit.is_reached(v4(1), 2, start + failure_limit::window)) << "a new window";
}

TEST(FailureLimit, CountsANetworkOfIpv6AsOne) {
    failure_limit limit;
    limit.count(v6(1, 1), 2, start);
    limit.count(v6(1, 2), 2, start);
    EXPECT_TRUE(limit.is_reached(v6(1, 3), 2, start));
    EXPECT_FALSE(limit.is_reached(v6(2, 1), 2, start));
}

TEST(FailureLimit, CanBeOff) {
    failure_limit limit;
    EXPECT_FALSE(limit.count(v4(1), 0, start));
    EXPECT_FALSE(limit.is_reached(v4(1), 0, start));
    const client_address local{{}, true};
    EXPECT_FALSE(limit.count(local, 1, start));
    EXPECT_FALSE(limit.is_reached(local, 1, start));
    EXPECT_EQ(limit.size(), 0U);
}

TEST(FailureLimit, ForgetsTheHarmlessFirst) {
    failure_limit limit;
    const client_address bad{{0x20, 1, 0x0d, 0xb9}, false};
    limit.count(bad, 2, start);
    limit.count(bad, 2, start);
    for (unsigned i = 0; i < 3 * failure_limit::addresses_max; ++i) {
        client_address other{{0x20, 1, 0x0d, 0xb8}, false};
        other.bytes[4] = static_cast<std::uint8_t>(i >> 16U);
        other.bytes[5] = static_cast<std::uint8_t>(i >> 8U);
        other.bytes[6] = static_cast<std::uint8_t>(i);
        limit.count(other, 2, start);
        ASSERT_LE(limit.size(), failure_limit::addresses_max);
    }
    EXPECT_TRUE(limit.is_reached(bad, 2, start));
}

}  // namespace
}  // namespace pgsluice::proxy
