// A cutover to a server that is still fenced since it was left.
#include "control/cutover.hpp"
#include "tests/unit/control/fake_world.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
        EXPECT_EQ(fake.calls.back(), "undo_lift");
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

}  // namespace
}  // namespace pgsluice::control
