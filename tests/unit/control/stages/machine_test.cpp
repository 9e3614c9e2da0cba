#include "control/stages/machine.hpp"

#include <gtest/gtest.h>

namespace pgsluice::control {
namespace {

using std::chrono::seconds;
using what = stage_machine::order::what;

/// Three stages of ten seconds, looked at as often as a test says.
class StageMachine : public testing::Test {
protected:
    void SetUp() override { machine.carried_out({what::advance, 1, {}}, now); }

    stage_machine::order look(int after_s, std::vector<guard_verdict> guards = {}) {
        now += seconds(after_s);
        auto todo = machine.look(now, guards, gate_open);
        if (todo.todo != what::nothing) {
            machine.carried_out(todo, now);
        }
        return todo;
    }
    static guard_verdict failed(guard_policy policy) {
        return {.is_ok = false, .on_fail = policy, .text = "too much"};
    }

    stage_machine machine{{seconds(10), seconds(10), seconds(10)}};
    stage_machine::time_point now{seconds(1000)};
    bool gate_open = true;
    const guard_verdict holds = failed(guard_policy::hold);
    const guard_verdict falls = failed(guard_policy::fall_back);
};

TEST_F(StageMachine, GoesOnWhenTheDwellTimeHasPassed) {
    EXPECT_EQ(look(9).todo, what::nothing);
    EXPECT_EQ(machine.dwelt(), seconds(9));
    const auto todo = look(1);
    EXPECT_EQ(todo.todo, what::advance);
    EXPECT_EQ(todo.stage, 2);
    EXPECT_EQ(machine.stage(), 2);
    EXPECT_EQ(machine.dwelt(), seconds(0));
    EXPECT_EQ(look(10).stage, 3);
    EXPECT_EQ(look(10).todo, what::finish);
    EXPECT_EQ(machine.state(), stage_state::over);
    EXPECT_EQ(look(100).todo, what::nothing);
}

TEST_F(StageMachine, AGuardThatHoldsBeginsTheDwellTimeAnew) {
    look(9);
    EXPECT_EQ(look(1, {holds}).todo, what::nothing);
    EXPECT_EQ(machine.state(), stage_state::held);
    EXPECT_EQ(machine.why(), "too much");
    EXPECT_EQ(look(100, {holds}).todo, what::nothing);
    EXPECT_EQ(look(1).todo, what::nothing) << "it passes again";
    EXPECT_EQ(machine.state(), stage_state::running);
    EXPECT_EQ(machine.why(), "");
    EXPECT_EQ(look(9).todo, what::nothing);
    EXPECT_EQ(look(1).stage, 2);
}

TEST_F(StageMachine, AGuardCanFallBackToTheStageBefore) {
    look(10);
    const auto todo = look(1, {holds, falls});
    EXPECT_EQ(todo.todo, what::fall_back);
    EXPECT_EQ(todo.stage, 1);
    EXPECT_EQ(todo.why, "too much");
    EXPECT_EQ(machine.state(), stage_state::fallen_back);
    EXPECT_EQ(machine.why(), "too much");
    EXPECT_EQ(look(100, {falls}).todo, what::nothing) << "it does not cascade";
    EXPECT_EQ(look(100).todo, what::nothing) << "nor go on by itself";
    EXPECT_TRUE(machine.resume());
    EXPECT_EQ(look(9).todo, what::nothing);
    EXPECT_EQ(look(1).stage, 2);
}

TEST_F(StageMachine, FromTheFirstStageItFallsBackToTheSetBefore) {
    EXPECT_EQ(look(1, {falls}).stage, 0);
    EXPECT_EQ(machine.stage(), 0);
    EXPECT_EQ(machine.dwell(), seconds(0));
    EXPECT_EQ(look(100, {falls}).todo, what::nothing);
    EXPECT_TRUE(machine.resume());
    const auto todo = look(1, {falls});
    EXPECT_EQ(todo.todo, what::advance) << "no guard belongs to the set before";
    EXPECT_EQ(todo.stage, 1);
}

TEST_F(StageMachine, WhatIsNotCarriedOutIsAskedForAgain) {
    for (int i = 0; i < 3; ++i) {
        now += seconds(10);
        EXPECT_EQ(machine.look(now, {}, true).stage, 2);
        EXPECT_EQ(machine.stage(), 1);
    }
    const std::vector guards{falls};
    EXPECT_EQ(machine.look(now, guards, true).todo, what::fall_back);
    EXPECT_EQ(machine.look(now, guards, true).todo, what::fall_back);
}

TEST_F(StageMachine, APauseStopsTheClockAndNotTheGuardsThatFallBack) {
    look(8);
    EXPECT_TRUE(machine.pause());
    EXPECT_FALSE(machine.pause());
    EXPECT_EQ(look(100).todo, what::nothing);
    EXPECT_EQ(look(100, {holds}).todo, what::nothing);
    EXPECT_EQ(machine.state(), stage_state::paused);
    EXPECT_TRUE(machine.resume());
    EXPECT_FALSE(machine.resume());
    EXPECT_EQ(look(1).todo, what::nothing);
    EXPECT_EQ(look(1).stage, 2);
    EXPECT_TRUE(machine.pause());
    EXPECT_EQ(look(1, {falls}).stage, 1);
    EXPECT_EQ(machine.state(), stage_state::fallen_back);
    EXPECT_FALSE(machine.pause()) << "it has stopped already";
}

TEST_F(StageMachine, SkippingIsTheOperatorsDecision) {
    look(1, {holds});
    EXPECT_FALSE(machine.resume()) << "a guard holds it, not the operator";
    const auto todo = machine.skip();
    EXPECT_EQ(todo->stage, 2);
    machine.carried_out(*todo, now);
    EXPECT_EQ(machine.state(), stage_state::running);
    machine.pause();
    machine.carried_out(*machine.skip(), now);
    EXPECT_EQ(machine.stage(), 3);
    EXPECT_EQ(machine.state(), stage_state::paused) << "step by step";
    EXPECT_EQ(machine.skip()->todo, what::finish);
    machine.carried_out(*machine.skip(), now);
    EXPECT_EQ(machine.state(), stage_state::over);
    EXPECT_FALSE(machine.skip().has_value());
}

TEST_F(StageMachine, BehindAClosedGateNoTimePasses) {
    look(9);
    gate_open = false;
    EXPECT_EQ(look(100, {falls}).todo, what::nothing) << "and nothing is learned";
    gate_open = true;
    EXPECT_EQ(machine.dwelt(), seconds(9));
    EXPECT_EQ(look(0).todo, what::nothing);
    EXPECT_EQ(look(1).stage, 2);
}

TEST_F(StageMachine, WhatCannotBeJudgedYetKeepsTheStage) {
    const guard_verdict not_yet{.text = "not asked yet", .is_ready = false};
    EXPECT_EQ(look(100, {not_yet}).todo, what::nothing);
    EXPECT_EQ(machine.state(), stage_state::running);
    EXPECT_EQ(look(0).stage, 2);
}

}  // namespace
}  // namespace pgsluice::control
