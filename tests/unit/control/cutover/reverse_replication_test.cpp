// A cutover to a server that is still fenced since it was left.
#include "control/cutover/runner.hpp"
#include "tests/unit/control/cutover/fake_world.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace pgsluice::control {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

/// A cutover to a server that an earlier one had fenced.
cutover_request back(fake_world& fake) {
    fake.new_read_only = true;
    cutover_request request = asked(replication_kind::logical);
    request.to_fence = fence_memory{"false"};
    return request;
}

TEST(CutoverBack, ToAFencedServerTakesItsFenceDownBeforeSessionsComeThere) {
    fake_world fake;
    const auto report = run_cutover(back(fake), fake.world());
    EXPECT_EQ(report.exit_code, 0) << report.text;
    const std::vector<std::string> head(fake.calls.begin(), fake.calls.begin() + 4);
    EXPECT_THAT(head, ElementsAre("preflight", "record begun", "lift", "order_move"));
    EXPECT_TRUE(fake.lifted);
    EXPECT_EQ(report.fence_stands, fence_memory{"off"}) << "the old server's, for the next time";
}

TEST(CutoverBack, ThatFailsPutsTheFenceBackAfterTheClientsGoOn) {
    for (const std::string name : {"lift", "fence", "record committed"}) {
        SCOPED_TRACE(name);
        fake_world fake;
        fake.failing[name] = 1;
        expect_as_before(fake, run_cutover(back(fake), fake.world()));
        EXPECT_FALSE(fake.lifted);
        const std::vector<std::string> tail(fake.calls.end() - 2, fake.calls.end());
        EXPECT_THAT(tail, ElementsAre("undo_lift", "record aborted"));
    }
}

TEST(CutoverBack, ToAServerThatTheOperatorMadeWritableLeavesItSo) {
    fake_world fake;
    auto request = back(fake);
    fake.new_read_only = false;
    fake.failing["verify"] = 1;
    expect_as_before(fake, run_cutover(request, fake.world()));
    EXPECT_THAT(fake.calls, Not(Contains("lift")));
    EXPECT_THAT(fake.calls, Not(Contains("undo_lift")));
    EXPECT_FALSE(fake.records.at(0).to_fence.has_value());
}

TEST(CutoverBack, AFenceThatCannotBePutBackIsTold) {
    fake_world fake;
    fake.failing["verify"] = 1;
    fake.failing["undo_lift"] = -1;
    const auto report = run_cutover(back(fake), fake.world());
    EXPECT_EQ(report.exit_code, 1);
    EXPECT_THAT(report.text, HasSubstr("green is not read-only any more"));
}

// --- the way back that a cutover prepares

cutover_request with_way_back() {
    cutover_request request = asked(replication_kind::logical);
    request.way_back = true;
    return request;
}

TEST(WayBack, IsPreparedBeforeThePauseAndBeginsAtTheCommitPoint) {
    fake_world fake;
    const auto report = run_cutover(with_way_back(), fake.world());
    EXPECT_EQ(report.exit_code, 0) << report.text;
    const auto at = [&fake](std::string_view call) {
        return std::find(fake.calls.begin(), fake.calls.end(), call);
    };
    EXPECT_LT(at("record begun"), at("prepare_way_back"));
    EXPECT_LT(at("prepare_way_back"), at("close_gate"));
    EXPECT_LT(at("catch_up"), at("mark_way_back"));
    EXPECT_LT(at("mark_way_back"), at("record committed"));
    EXPECT_LT(at("unsubscribe"), at("follow_back")) << "or changes would run in a circle";
    EXPECT_TRUE(fake.back_prepared);
}

TEST(WayBack, OfAFailedCutoverIsTakenAwayAfterTheClientsGoOn) {
    for (const std::string name : {"prepare_way_back", "fence", "mark_way_back"}) {
        SCOPED_TRACE(name);
        fake_world fake;
        fake.failing[name] = 1;
        expect_as_before(fake, run_cutover(with_way_back(), fake.world()));
        EXPECT_FALSE(fake.back_prepared);
        const std::vector<std::string> tail(fake.calls.end() - 2, fake.calls.end());
        EXPECT_THAT(tail, ElementsAre("undo_way_back", "record aborted"));
    }
}

TEST(WayBack, ThatCannotBeTakenAwayIsTold) {
    fake_world fake;
    fake.failing["verify"] = 1;
    fake.failing["undo_way_back"] = -1;
    const auto report = run_cutover(with_way_back(), fake.world());
    EXPECT_EQ(report.exit_code, 1);
    EXPECT_THAT(
        report.text, HasSubstr("what was prepared for reverse replication stays: undo_way_back")
    );
}

TEST(WayBack, ThatDoesNotBeginNeedsTheOperator) {
    fake_world fake;
    fake.failing["follow_back"] = 1;
    const auto report = run_cutover(with_way_back(), fake.world());
    EXPECT_EQ(report.exit_code, 6);
    EXPECT_THAT(report.text, HasSubstr("reverse replication is not running"));
    EXPECT_THAT(report.hint, HasSubstr("blue is back"));
}

TEST(WayBack, IsFinishedOrTakenAwayByARestart) {
    unfinished_cutover found;
    found.begun = {.id = "c1", .from = "blue", .to = "green", .way_back = true};
    found.begun.fence = fence_memory{"off"};
    fake_world fake;
    fake.open = false;
    recover_cutover(found, with_way_back(), fake.world());
    EXPECT_THAT(fake.calls, ElementsAre("unfence", "open_gate", "undo_way_back", "record aborted"));

    found.committed = true;
    fake_world forward;
    forward.open = false;
    forward.fence_may_stay = true;
    recover_cutover(found, with_way_back(), forward.world());
    EXPECT_THAT(
        forward.calls, ElementsAre("open_gate", "unsubscribe", "follow_back", "record done")
    );
}

}  // namespace
}  // namespace pgsluice::control
