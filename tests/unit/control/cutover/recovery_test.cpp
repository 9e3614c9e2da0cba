// After a crash, and before anything: what the journal asks for, the plan, the dry run.
#include "control/cutover/runner.hpp"
#include "tests/unit/control/config/config_files.hpp"
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

unfinished_cutover found(bool promoting, bool committed) {
    cutover_record begun{.kind = record_kind::begun, .id = "c1", .from = "blue", .to = "green"};
    begun.fence = fence_memory{"off"};
    return {begun, promoting, committed};
}

TEST(CutoverRecovery, WithoutACommitRecordTheOldServerIsUnfencedFirst) {
    fake_world fake;
    fake.open = false;
    fake.fenced = true;
    const auto report =
        recover_cutover(found(false, false), asked(replication_kind::logical), fake.world());
    EXPECT_EQ(report.outcome, "aborted");
    EXPECT_THAT(fake.calls, ElementsAre("unfence", "open_gate", "record aborted"));
}

TEST(CutoverRecovery, WithACommitRecordItGoesForward) {
    fake_world fake;
    fake.open = false;
    fake.fenced = true;
    fake.fence_may_stay = true;
    const auto report =
        recover_cutover(found(false, true), asked(replication_kind::logical), fake.world());
    EXPECT_EQ(report.exit_code, 0) << report.text;
    EXPECT_THAT(fake.calls, ElementsAre("open_gate", "unsubscribe", "record done"));
}

TEST(CutoverRecovery, KeepsTryingToUnfenceThenOpens) {
    fake_world fake;
    fake.open = false;
    fake.fence_may_stay = true;
    fake.failing["unfence"] = -1;
    const auto report =
        recover_cutover(found(true, false), asked(replication_kind::physical), fake.world());
    EXPECT_TRUE(report.fence_left.has_value());
    EXPECT_TRUE(fake.open);
    EXPECT_THAT(report.text, HasSubstr("must be rebuilt"));
    EXPECT_THAT(fake.records, IsEmpty());
}

TEST(CutoverRecovery, OfAProcessThatEndsIsLeftToTheNextStart) {
    fake_world fake;
    fake.open = false;
    fake.fenced = true;
    fake.failing["unfence"] = -1;
    fake.stopping = fake.aborted = true;
    auto request = asked(replication_kind::logical);
    request.hold_timeout = std::chrono::hours{1};
    const auto report = recover_cutover(found(false, false), request, fake.world());
    EXPECT_EQ(report.exit_code, 1);
    EXPECT_THAT(fake.calls, ElementsAre("unfence")) << "no second try, and the gate stays closed";
    EXPECT_THAT(fake.records, IsEmpty());
}

TEST(CutoverRecovery, PutsTheNewServersFenceBackToo) {
    fake_world fake;
    fake.open = false;
    auto unfinished = found(false, false);
    unfinished.begun.to_fence = fence_memory{"false"};
    recover_cutover(unfinished, asked(replication_kind::logical), fake.world());
    EXPECT_THAT(fake.calls, ElementsAre("unfence", "open_gate", "undo_lift", "record aborted"));
}

TEST(CutoverRecovery, OfARetargetNeedsNoServer) {
    fake_world fake;
    fake.open = false;
    auto unfinished = found(false, false);
    unfinished.begun.fence.reset();
    recover_cutover(unfinished, retarget(), fake.world());
    EXPECT_THAT(fake.calls, ElementsAre("open_gate", "record aborted"));
}

TEST(CutoverPlan, NamesDeadlineAndUndoOfEveryStep) {
    for (const planned_step& one : make_plan(asked(replication_kind::logical))) {
        EXPECT_GT(one.deadline.count(), 0) << one.name;
        EXPECT_FALSE(one.does.empty()) << one.name;
        EXPECT_FALSE(one.undo.empty()) << one.name;
    }
    EXPECT_EQ(make_plan(retarget()).size(), 10U);
}

TEST(CutoverPlan, IsWhatTheDocumentationTells) {
    const std::string page = file_text("docs/cutover.md");
    for (const replication_kind kind : {replication_kind::logical, replication_kind::physical}) {
        auto request = asked(kind);
        request.to_fence = fence_memory{};
        request.prewarm = {"public.t"};
        request.way_back = kind == replication_kind::logical;
        for (const planned_step& one : make_plan(request)) {
            EXPECT_THAT(page, HasSubstr("\n| `" + one.name + "` |"));
        }
    }
}

TEST(Rehearsal, ChangesNothingAndSaysWhatItFound) {
    fake_world fake;
    fake.rows = {pinned_session()};
    const auto found = rehearse_cutover(asked(replication_kind::logical), fake.world());
    EXPECT_THAT(fake.calls, ElementsAre("preflight"));
    EXPECT_EQ(found.exit_code, 1) << "a pinned session would end it";
    EXPECT_EQ(found.pinned.size(), 1U);
    EXPECT_FALSE(found.plan.empty());
    EXPECT_FALSE(found.readings.empty());
}

TEST(Rehearsal, ExpectsOfAStepWhatItTookTheLastTime) {
    fake_world fake;
    const step_times last{{"drain", std::chrono::microseconds{4321}}};
    const auto found = rehearse_cutover(asked(replication_kind::logical), fake.world(), last);
    for (const planned_step& one : found.plan) {
        EXPECT_EQ(one.expected.has_value(), one.name == "drain" || one.name == "preflight");
        if (one.name == "drain") {
            EXPECT_EQ(one.expected, std::chrono::microseconds{4321});
        }
    }
}

}  // namespace
}  // namespace pgsluice::control
