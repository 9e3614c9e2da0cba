// The pace of copying sessions: what a server that is near, far or busy is given.
#include "proxy/engine/copy_pace.hpp"

#include <gtest/gtest.h>

namespace pgsluice::proxy {
namespace {

using std::chrono::milliseconds;

constexpr std::uint32_t most = 16;

void finish(turn_pace& pace, int times, milliseconds took) {
    for (int n = 0; n < times; ++n) {
        pace.finished(took, most);
    }
}

TEST(TurnPace, BeginsWithOne) {
    EXPECT_EQ(turn_pace().limit(most), 1U);
}

TEST(TurnPace, AFarServerIsGivenAllThereAre) {
    turn_pace pace;
    finish(pace, most, milliseconds{400});
    EXPECT_EQ(pace.limit(most), most);
    finish(pace, 100, milliseconds{500});
    EXPECT_EQ(pace.limit(most), most) << "never more";
}

TEST(TurnPace, AServerThatGetsSlowerIsGivenHalf) {
    turn_pace pace;
    finish(pace, 7, milliseconds{10});
    EXPECT_EQ(pace.limit(most), 8U);
    finish(pace, 1, milliseconds{21});
    EXPECT_EQ(pace.limit(most), 8U) << "those begun under the old limit are still under way";
    finish(pace, 8, milliseconds{21});
    EXPECT_EQ(pace.limit(most), 4U);
}

TEST(TurnPace, OneIsAlwaysUnderWay) {
    turn_pace pace;
    finish(pace, 4, milliseconds{10});
    finish(pace, 100, milliseconds{1000});
    EXPECT_EQ(pace.limit(most), 1U);
}

TEST(TurnPace, GrowsByOneForEachRoundOnceItWasSlow) {
    turn_pace pace;
    finish(pace, 7, milliseconds{10});
    finish(pace, 9, milliseconds{30});
    ASSERT_EQ(pace.limit(most), 4U);
    finish(pace, 2, milliseconds{12});
    EXPECT_EQ(pace.limit(most), 4U);
    finish(pace, 1, milliseconds{12});
    EXPECT_EQ(pace.limit(most), 5U);
}

TEST(TurnPace, IsNeverMoreThanTheLimitOfTheDay) {
    turn_pace pace;
    finish(pace, most, milliseconds{5});
    EXPECT_EQ(pace.limit(3), 3U);
    EXPECT_EQ(pace.limit(0), 1U);
}

TEST(TurnPace, ResetForgetsWhatWasFast) {
    turn_pace pace;
    finish(pace, 1, milliseconds{1});
    finish(pace, 50, milliseconds{100});
    pace.reset();
    finish(pace, 3, milliseconds{100});
    EXPECT_EQ(pace.limit(most), 4U);
}

}  // namespace
}  // namespace pgsluice::proxy
