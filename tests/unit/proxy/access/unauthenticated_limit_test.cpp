#include "proxy/access/unauthenticated_limit.hpp"

#include <gtest/gtest.h>

namespace pgsluice::proxy {
namespace {

using answer = newcomer_limit::answer;

client_address v4(std::uint8_t last) {
    return {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, last}, false};
}

client_address v6(std::uint8_t eighth, std::uint8_t last) {
    return {{0x20, 1, 0x0d, 0xb8, 0, 0, 0, eighth, 0, 0, 0, 0, 0, 0, 0, last}, false};
}

TEST(NewcomerLimit, IsOfOneAddressAlone) {
    newcomer_limit limit;
    EXPECT_EQ(limit.enter(v4(1), 2), answer::counted);
    EXPECT_EQ(limit.enter(v4(1), 2), answer::counted);
    EXPECT_EQ(limit.enter(v4(1), 2), answer::first_refused);
    EXPECT_EQ(limit.enter(v4(1), 2), answer::refused) << "is told once";
    EXPECT_EQ(limit.enter(v4(2), 2), answer::counted);
}

TEST(NewcomerLimit, HasAPlaceAgainWhenOneLeaves) {
    newcomer_limit limit;
    EXPECT_EQ(limit.enter(v4(1), 1), answer::counted);
    EXPECT_EQ(limit.enter(v4(1), 1), answer::first_refused);
    limit.leave(v4(1));
    EXPECT_EQ(limit.size(), 0U);
    EXPECT_EQ(limit.enter(v4(1), 1), answer::counted);
    EXPECT_EQ(limit.enter(v4(1), 1), answer::first_refused) << "a new story";
}

TEST(NewcomerLimit, IsTheOneOfTheMoment) {
    newcomer_limit limit;
    EXPECT_EQ(limit.enter(v4(1), 2), answer::counted);
    EXPECT_EQ(limit.enter(v4(1), 1), answer::first_refused) << "lowered";
    EXPECT_EQ(limit.enter(v4(1), 3), answer::counted) << "raised";
    EXPECT_EQ(limit.enter(v4(1), 0), answer::not_counted) << "taken away";
    limit.leave(v4(1));
    limit.leave(v4(1));
    EXPECT_EQ(limit.size(), 0U);
}

TEST(NewcomerLimit, CountsANetworkOfIpv6AsOneAndNoUnixSocket) {
    newcomer_limit limit;
    EXPECT_EQ(limit.enter(v6(1, 1), 1), answer::counted);
    EXPECT_EQ(limit.enter(v6(1, 2), 1), answer::first_refused);
    EXPECT_EQ(limit.enter(v6(2, 1), 1), answer::counted);
    const client_address local{{}, true};
    EXPECT_EQ(limit.enter(local, 1), answer::not_counted);
    EXPECT_EQ(limit.enter(local, 1), answer::not_counted);
    EXPECT_EQ(limit.size(), 2U);
}

}  // namespace
}  // namespace pgsluice::proxy
