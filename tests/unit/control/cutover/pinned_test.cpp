// What a cutover does with sessions that cannot be moved.
#include "control/cutover/runner.hpp"
#include "tests/unit/control/cutover/fake_world.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgsluice::control {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

TEST(CutoverPinned, AbortIsDecidedBeforeThePauseWhenThePinIsKnown) {
    fake_world fake;
    fake.rows = {pinned_session()};
    const auto report = run_cutover(asked(replication_kind::logical), fake.world());
    EXPECT_EQ(report.exit_code, 1);
    EXPECT_THAT(fake.calls, Not(Contains("close_gate")));
    ASSERT_EQ(report.rows.size(), 1U);
    EXPECT_THAT(report.rows[0], HasSubstr("temp: temporary table t"));
}

TEST(CutoverPinned, AbortInThePauseUndoesIt) {
    fake_world fake;
    fake.now.settled = 2;
    fake.now.pinned = 1;
    const auto report = run_cutover(asked(replication_kind::logical), fake.world());
    expect_as_before(fake, report);
    EXPECT_THAT(report.text, HasSubstr("cannot be moved"));
}

TEST(CutoverPinned, TerminateMovesTheOthersAndNamesWhoWasEnded) {
    fake_world fake;
    fake.now.settled = 2;
    fake.now.unready = 1;
    fake.rows = {pinned_session()};
    auto request = asked(replication_kind::logical);
    request.on_pinned = pinned_policy::terminate;
    const auto report = run_cutover(request, fake.world());
    EXPECT_EQ(report.exit_code, 0) << report.text;
    EXPECT_EQ(report.switched, 2U);
    EXPECT_EQ(report.left_behind.size(), 1U);
}

TEST(CutoverPinned, WaitOpensTheGateAndDrainsAgain) {
    fake_world fake;
    const proxy::service_progress clean = fake.now;
    fake.now.settled = 2;
    fake.now.pinned = 1;
    fake.rows = {pinned_session()};
    fake.later = {clean};
    auto request = asked(replication_kind::logical);
    request.on_pinned = pinned_policy::wait;
    const auto report = run_cutover(request, fake.world());
    EXPECT_EQ(report.exit_code, 0) << report.text;
    const auto drains =
        std::count_if(report.steps.begin(), report.steps.end(), [](const step_report& one) {
            return one.name == "drain" && one.in_pause;
        });
    EXPECT_EQ(drains, 1) << "the pause is the last one";
    EXPECT_EQ(std::count(fake.calls.begin(), fake.calls.end(), "close_gate"), 2);
    EXPECT_EQ(std::count(fake.calls.begin(), fake.calls.end(), "open_gate"), 2);
}

TEST(CutoverPinned, WaitDrainsAgainOnlyAfterThePinnedSessionDidSomething) {
    for (const bool acts : {false, true}) {
        fake_world fake;
        fake.now.settled = 2;
        fake.now.pinned = 1;
        fake.rows = {pinned_session()};
        fake.rows[0].phase = proxy::session_phase::idle;
        fake.rows[0].phase_age = acts ? std::chrono::milliseconds{0} : std::chrono::hours{1};
        auto request = asked(replication_kind::logical);
        request.on_pinned = pinned_policy::wait;
        request.timeout = std::chrono::milliseconds{20};
        const auto report = run_cutover(request, fake.world());
        EXPECT_EQ(report.exit_code, 5);
        const auto drains = std::count(fake.calls.begin(), fake.calls.end(), "close_gate");
        EXPECT_EQ(drains > 1, acts) << drains;
        EXPECT_TRUE(fake.open);
    }
}

TEST(CutoverPinned, WaitDrainsAgainWhenNobodyIsPinnedButOneWasNotReady) {
    fake_world fake;
    const proxy::service_progress clean = fake.now;
    fake.now.settled = 2;
    fake.now.unready = 1;
    fake.later = {clean};
    auto request = asked(replication_kind::logical);
    request.on_pinned = pinned_policy::wait;
    const auto report = run_cutover(request, fake.world());
    EXPECT_EQ(report.exit_code, 0) << report.text;
}

TEST(CutoverPinned, WaitEndsAtTheTimeout) {
    fake_world fake;
    fake.now.settled = 2;
    fake.now.pinned = 1;
    auto request = asked(replication_kind::logical);
    request.on_pinned = pinned_policy::wait;
    request.timeout = std::chrono::milliseconds{20};
    fake.rows = {pinned_session()};
    fake.later = {};
    const auto report = run_cutover(request, fake.world());
    EXPECT_EQ(report.exit_code, 5);
    EXPECT_TRUE(fake.open);
    EXPECT_EQ(report.rows.size(), 1U);
}

}  // namespace
}  // namespace pgsluice::control
