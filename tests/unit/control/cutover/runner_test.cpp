// The sequence of a cutover against fakes: what is done in which order, and what is taken back
// when any one of it fails.
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

TEST(Cutover, MovesWithLogicalReplicationInOrder) {
    fake_world fake;
    const auto report = run_cutover(asked(replication_kind::logical), fake.world());
    EXPECT_EQ(report.exit_code, 0) << report.text;
    EXPECT_EQ(report.outcome, "done");
    EXPECT_EQ(report.switched, 3U);
    EXPECT_THAT(
        fake.calls,
        ElementsAre(
            "preflight",
            "record begun",
            "order_move",
            "hold_long",
            "refresh_move",
            "close_gate",
            "fence",
            "mark",
            "catch_up",
            "sequences",
            "verify",
            "record committed",
            "commit_move 1 8",
            "open_gate",
            "unsubscribe",
            "record done"
        )
    );
    EXPECT_EQ(fake.records.at(0).fence, fence_memory{"off"});
    EXPECT_EQ(fake.records.at(1).generation, 8U);
    EXPECT_THAT(fake.learned, ElementsAre("app.tenant"));
}

TEST(Cutover, PromotesAStandbyAndRecordsItBefore) {
    fake_world fake;
    const auto report = run_cutover(asked(replication_kind::physical), fake.world());
    EXPECT_EQ(report.exit_code, 0) << report.text;
    EXPECT_THAT(
        fake.calls,
        ElementsAre(
            "preflight",
            "record begun",
            "order_move standby",
            "hold_long",
            "refresh_move",
            "close_gate",
            "fence",
            "mark",
            "catch_up",
            "record promoting",
            "promote",
            "mark_promoted",
            "verify",
            "record committed",
            "commit_move 1 8",
            "open_gate",
            "record done"
        )
    );
}

TEST(Cutover, WithoutReplicationFencesAndMoves) {
    fake_world fake;
    const auto report = run_cutover(asked(replication_kind::none), fake.world());
    EXPECT_EQ(report.exit_code, 0) << report.text;
    EXPECT_THAT(
        fake.calls,
        ElementsAre(
            "preflight",
            "record begun",
            "order_move",
            "hold_long",
            "refresh_move",
            "close_gate",
            "fence",
            "verify",
            "record committed",
            "commit_move 1 8",
            "open_gate",
            "record done"
        )
    );
}

TEST(Cutover, OneServerUnderTwoNamesIsNotFenced) {
    fake_world fake;
    fake.one_server = true;
    const auto report = run_cutover(asked(replication_kind::none), fake.world());
    EXPECT_EQ(report.exit_code, 0) << report.text;
    EXPECT_THAT(fake.calls, Not(Contains("fence")));
}

TEST(Cutover, RetargetTouchesNoServer) {
    fake_world fake;
    const auto report = run_cutover(retarget(), fake.world());
    EXPECT_EQ(report.exit_code, 0) << report.text;
    EXPECT_THAT(
        fake.calls,
        ElementsAre(
            "record begun",
            "order_move",
            "hold_long",
            "refresh_move",
            "close_gate",
            "record committed",
            "commit_move 1 8",
            "open_gate",
            "record done"
        )
    );
    EXPECT_FALSE(fake.records.at(0).fence.has_value());
}

TEST(Cutover, RetargetOfAPausedServiceLeavesItPaused) {
    fake_world fake;
    fake.open = false;
    const auto report = run_cutover(retarget(), fake.world());
    EXPECT_EQ(report.exit_code, 0) << report.text;
    EXPECT_FALSE(fake.open);
    EXPECT_THAT(fake.calls, Not(Contains("open_gate")));
}

TEST(Cutover, FailedRetargetOfAPausedServiceLeavesItPaused) {
    fake_world fake;
    fake.open = false;
    fake.failing["cutover:verdict:before"] = -1;
    const auto report = run_cutover(retarget(), fake.world());
    EXPECT_EQ(report.exit_code, 1);
    EXPECT_FALSE(fake.open);
}

TEST(Cutover, AFailedCheckEndsItBeforeAnythingIsTouched) {
    fake_world fake;
    fake.checks.push_back({"subscription", check_level::error, "app_sub is disabled", "enable it"});
    const auto report = run_cutover(asked(replication_kind::logical), fake.world());
    EXPECT_EQ(report.exit_code, 1);
    EXPECT_THAT(report.text, HasSubstr("app_sub is disabled"));
    EXPECT_EQ(report.hint, "enable it");
    EXPECT_THAT(fake.calls, ElementsAre("preflight"));
}

struct kind_and_point {
    replication_kind kind;
    std::string point;
};

std::vector<kind_and_point> points_before_commit() {
    std::vector<kind_and_point> all;
    for (const auto kind :
         {replication_kind::none, replication_kind::physical, replication_kind::logical}) {
        for (const planned_step& one : make_plan(asked(kind))) {
            all.push_back({kind, "cutover:" + one.name + ":before"});
            if (one.name == "commit") {
                break;
            }
            all.push_back({kind, "cutover:" + one.name + ":after"});
        }
    }
    return all;
}

TEST(Cutover, AFailureAtEveryPointBeforeTheCommitLeadsBack) {
    for (const auto& [kind, point] : points_before_commit()) {
        SCOPED_TRACE(point);
        fake_world fake;
        fake.failing[point] = -1;
        expect_as_before(fake, run_cutover(asked(kind), fake.world()));
    }
}

TEST(Cutover, AnAbortAtEveryPointBeforeTheCommitLeadsBack) {
    for (const auto& [kind, point] : points_before_commit()) {
        if (point == "cutover:commit:before") {
            continue;  // too late to be heard: the record is being written
        }
        SCOPED_TRACE(point);
        fake_world fake;
        fake.abort_at = point;
        const auto report = run_cutover(asked(kind), fake.world());
        expect_as_before(fake, report);
        EXPECT_THAT(report.text, HasSubstr("aborted by the operator"));
    }
}

TEST(Cutover, AFailingCallOfEveryDoorLeadsBack) {
    for (const std::string name :
         {"preflight",
          "record begun",
          "fence",
          "mark",
          "catch_up",
          "sequences",
          "verify",
          "record committed"}) {
        SCOPED_TRACE(name);
        fake_world fake;
        fake.failing[name] = 1;
        expect_as_before(fake, run_cutover(asked(replication_kind::logical), fake.world()));
    }
}

std::vector<std::string> steps_in_pause(const cutover_report& report) {
    std::vector<std::string> names;
    for (const step_report& one : report.steps) {
        if (one.in_pause) {
            names.push_back(one.name);
        }
    }
    return names;
}

TEST(Cutover, TellsWhereThePauseWent) {
    fake_world fake;
    using std::chrono::milliseconds;
    fake.slow = {
        {"preflight", milliseconds{7}},
        {"catch_up", milliseconds{5}},
        {"promote", milliseconds{4}},
        {"verify", milliseconds{3}}};
    const auto report = run_cutover(asked(replication_kind::physical), fake.world());
    EXPECT_THAT(
        steps_in_pause(report),
        ElementsAre(
            "drain", "verdict", "fence", "catch_up", "promote", "verify", "commit", "move", "open"
        )
    );
    EXPECT_EQ(report.pause.held, report.pause.drained + report.pause.waited + report.pause.added);
    EXPECT_GE(report.pause.waited, milliseconds{9});
    EXPECT_GE(report.pause.added, milliseconds{3});
    EXPECT_EQ(fake.records.back().pause, report.pause) << "and so does the journal";
}

TEST(Cutover, AnUnfinishedDrainIsNoStallOfTheProxys) {
    fake_world fake;
    fake.never_parks = true;
    auto request = asked(replication_kind::logical);
    request.prepare_timeout = std::chrono::milliseconds{1};
    const auto report = run_cutover(request, fake.world());
    EXPECT_GT(report.pause.held.count(), 0);
    EXPECT_EQ(report.pause.drained, report.pause.held);
    EXPECT_EQ(report.pause.added.count(), 0);
}

TEST(Cutover, TakesBackInTheSafeOrder) {
    fake_world fake;
    fake.failing["verify"] = 1;
    run_cutover(asked(replication_kind::logical), fake.world());
    const std::vector<std::string> tail(fake.calls.end() - 5, fake.calls.end());
    EXPECT_THAT(
        tail, ElementsAre("verify", "unfence", "cancel_move", "open_gate", "record aborted")
    );
}

TEST(Cutover, AfterTheCommitEverythingGoesForward) {
    for (const std::string point :
         {"cutover:commit:after",
          "cutover:move:before",
          "cutover:move:after",
          "cutover:open:before",
          "cutover:open:after",
          "cutover:unsubscribe:before",
          "cutover:unsubscribe:after",
          "unsubscribe",
          "record done"}) {
        SCOPED_TRACE(point);
        fake_world fake;
        fake.failing[point] = -1;
        const auto report = run_cutover(asked(replication_kind::logical), fake.world());
        EXPECT_EQ(report.exit_code, 6) << report.text;
        EXPECT_EQ(report.outcome, "needs-operator");
        EXPECT_TRUE(fake.open);
        EXPECT_THAT(fake.calls, Contains("commit_move 1 8"));
        EXPECT_THAT(fake.calls, Not(Contains("unfence")));
        EXPECT_THAT(kinds(fake), Not(Contains("aborted")));
    }
}

TEST(Cutover, AnAbortAfterTheCommitIsTooLate) {
    fake_world fake;
    fake.abort_at = "cutover:commit:after";
    const auto report = run_cutover(asked(replication_kind::logical), fake.world());
    EXPECT_EQ(report.exit_code, 0) << report.text;
}

TEST(Cutover, AnAbortThatCannotBeJournaledStillLetsClientsGoOn) {
    fake_world fake;
    fake.failing["record committed"] = 1;
    fake.failing["record aborted"] = -1;
    const auto report = run_cutover(asked(replication_kind::logical), fake.world());
    EXPECT_EQ(report.exit_code, 1);
    EXPECT_TRUE(fake.open);
    EXPECT_FALSE(fake.fenced);
    EXPECT_THAT(report.hint, HasSubstr("record aborted"));
}

TEST(Cutover, UnfencingIsTriedUntilTheOldServerAnswers) {
    fake_world fake;
    fake.failing["verify"] = 1;
    fake.failing["unfence"] = 3;
    const auto report = run_cutover(asked(replication_kind::logical), fake.world());
    expect_as_before(fake, report);
    EXPECT_EQ(std::count(fake.calls.begin(), fake.calls.end(), "unfence"), 4);
}

TEST(Cutover, AnUnreachableOldServerKeepsClientsNoLongerThanTheHoldTimeout) {
    fake_world fake;
    fake.fence_may_stay = true;
    fake.failing["verify"] = 1;
    fake.failing["unfence"] = -1;
    const auto report = run_cutover(asked(replication_kind::logical), fake.world());
    EXPECT_EQ(report.exit_code, 1);
    EXPECT_EQ(report.fence_left, fence_memory{"off"});
    EXPECT_TRUE(fake.open);
    EXPECT_THAT(report.text, HasSubstr("STILL REFUSES WRITES"));
    EXPECT_THAT(kinds(fake), ElementsAre("begun")) << "so that a restart goes on undoing";
}

TEST(Cutover, GoesOnUnfencingWithTheGateOpen) {
    fake_world fake;
    fake.fence_may_stay = true;
    fake.failing["verify"] = 1;
    fake.failing["unfence"] = 3;
    auto request = asked(replication_kind::logical);
    request.hold_timeout = std::chrono::milliseconds{0};
    request.undo_patience = std::chrono::hours{1};
    const auto report = run_cutover(request, fake.world());
    EXPECT_FALSE(report.fence_left);
    EXPECT_FALSE(fake.fenced);
    EXPECT_THAT(report.text, Not(HasSubstr("REFUSES")));
    EXPECT_THAT(kinds(fake), ElementsAre("begun", "aborted"));
    const std::vector<std::string> tail(fake.calls.end() - 5, fake.calls.end());
    EXPECT_THAT(tail, ElementsAre("open_gate", "unfence", "unfence", "unfence", "record aborted"));
}

TEST(Cutover, BeginsWithLoweringTheFenceThatAnEarlierOneLeft) {
    fake_world fake;
    fake.fenced = true;
    auto request = asked(replication_kind::logical);
    request.fence_left = fence_memory{"off"};
    const auto report = run_cutover(request, fake.world());
    EXPECT_EQ(report.exit_code, 0) << report.text;
    const std::vector<std::string> head(fake.calls.begin(), fake.calls.begin() + 3);
    EXPECT_THAT(head, ElementsAre("preflight", "unfence", "record begun"));
    EXPECT_FALSE(report.fence_left);
}

TEST(Cutover, AFailedRetargetCarriesTheFenceOn) {
    fake_world fake;
    fake.failing["cutover:verdict:before"] = -1;
    auto request = retarget();
    request.fence_left = fence_memory{"off"};
    const auto report = run_cutover(request, fake.world());
    EXPECT_EQ(report.fence_left, fence_memory{"off"});
    EXPECT_EQ(fake.records.at(0).fence, fence_memory{"off"});
    EXPECT_THAT(kinds(fake), ElementsAre("begun")) << "so that a restart lowers it";
}

TEST(Cutover, AFailureAfterPromotionSaysThatTheStandbyIsLost) {
    fake_world fake;
    fake.failing["verify"] = 1;
    const auto report = run_cutover(asked(replication_kind::physical), fake.world());
    expect_as_before(fake, report);
    EXPECT_THAT(report.text, HasSubstr("green may have been promoted and must be rebuilt"));
}

TEST(Cutover, ADrainThatTakesTooLongNamesTheBlockers) {
    fake_world fake;
    fake.never_parks = true;
    auto request = asked(replication_kind::logical);
    request.prepare_timeout = std::chrono::milliseconds{1};
    fake.now.parked = 2;
    proxy::session_info session;
    session.user = "bob";
    session.phase = proxy::session_phase::in_transaction;
    session.query = "UPDATE t SET a = 1";
    fake.rows = {session};
    const auto report = run_cutover(request, fake.world());
    EXPECT_EQ(report.exit_code, 5);
    EXPECT_TRUE(fake.open);
    ASSERT_EQ(report.rows.size(), 1U);
    EXPECT_THAT(report.rows[0], HasSubstr("user bob"));
    EXPECT_THAT(report.rows[0], HasSubstr("UPDATE t SET a = 1"));
    EXPECT_THAT(kinds(fake), ElementsAre("begun", "aborted"));
}

TEST(Cutover, TheGateStaysOpenForAllWhileLongTransactionsEnd) {
    fake_world fake;
    fake.looks_for_long = 3;
    auto request = asked(replication_kind::logical);
    request.drain_timeout = std::chrono::hours{1};
    EXPECT_EQ(run_cutover(request, fake.world()).exit_code, 0);
    const auto closed = std::find(fake.calls.begin(), fake.calls.end(), "close_gate");
    EXPECT_EQ(std::count(fake.calls.begin(), closed, "hold_long"), 4);
    EXPECT_EQ(std::count(closed, fake.calls.end(), "hold_long"), 0);
}

TEST(Cutover, ALongTransactionThatDoesNotEndPausesNobody) {
    fake_world fake;
    fake.looks_for_long = 1'000'000;
    auto request = asked(replication_kind::logical);
    request.drain_timeout = std::chrono::milliseconds{200};
    proxy::session_info session;
    session.phase = proxy::session_phase::in_transaction;
    session.user = "batch";
    session.phase_age = std::chrono::seconds{9};
    fake.rows = {session};
    session.user = "short";
    session.phase_age = std::chrono::milliseconds{1};
    fake.rows.push_back(session);
    const auto report = run_cutover(request, fake.world());
    EXPECT_EQ(report.exit_code, 5);
    EXPECT_THAT(fake.calls, Not(Contains("close_gate")));
    EXPECT_EQ(fake.held_back, 0);
    ASSERT_EQ(report.rows.size(), 1U);
    EXPECT_THAT(report.rows[0], HasSubstr("user batch"));
}

TEST(Cutover, TheOverallTimeoutBoundsEveryStep) {
    fake_world fake;
    fake.never_parks = true;
    auto request = asked(replication_kind::logical);
    request.drain_timeout = std::chrono::hours{1};
    request.timeout = std::chrono::milliseconds{20};
    const auto report = run_cutover(request, fake.world());
    EXPECT_EQ(report.exit_code, 5);
    EXPECT_TRUE(fake.open);
}

}  // namespace
}  // namespace pgsluice::control
