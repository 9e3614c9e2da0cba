#include "control/records/admission.hpp"
#include "control/stages/run.hpp"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgsluice::control {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// Readings as a test wants them; writes down what the run does.
class fake_service final : public staged_service {
public:
    service_reading read() override {
        reading.at = limits::clock::now();
        return reading;
    }
    result<void> enter(const stage_note& note) override {
        if (!trouble.empty()) {
            return failure{"55006", trouble, {}, {}};
        }
        if (note.stage == fails_at) {
            ++reading.load.answers;
            reading.load.add_error("57P03");
        }
        log.push_back(fmt::format(
            "{}/{} {} by {}{}",
            note.stage,
            note.of,
            sets.at(note.stage),
            note.by,
            note.why.empty() ? "" : ": " + note.why
        ));
        return {};
    }
    void note(std::string_view state, boost::json::object fields) override {
        const auto* how = fields.if_contains("outcome");
        log.push_back(std::string(state) + (how ? " " + std::string(how->as_string()) : ""));
    }
    guard_verdict probe(const guard_config& guard, const std::atomic<bool>&) override {
        ++asked;
        return guard_meter::judge_value(guard, answer);
    }
    void let_go() override {}

    service_reading reading;
    std::string trouble;
    std::string answer = "t";
    int asked = 0;
    std::size_t fails_at = 0;       ///< a stage that fails somebody the moment it is in force
    std::vector<std::string> sets;  ///< by stage; 0: what stood before
    std::vector<std::string> log;
};

class StagesRun : public testing::Test {
protected:
    void SetUp() override { limits::clock::simulated = &now; }
    void TearDown() override { limits::clock::simulated = nullptr; }

    void start(std::string_view guards = "[{held: {max: 1000}}]") {
        service_config configured;
        configured.backends = {{"blue", {"10.0.0.1", 5432}, {}}};
        configured.admin.user = "postgres";
        const auto read = parse_stages(
            fmt::format(
                "dwell: 10s\nguards: {}\nstages: [{{admit: [10.0.0.0/16]}}, "
                "{{admit: [10.0.0.0/8]}}, {{admit: [all]}}]\n",
                guards
            ),
            configured
        );
        ASSERT_TRUE(read.value.has_value()) << format_problem("s", read.errors.front());
        service.sets = {"none"};
        for (std::size_t i = 0; i < read.value->stages.size(); ++i) {
            service.sets.push_back(ranges_of(read.value->admission_of(i)));
        }
        run.emplace(*read.value, std::move(made), "alice");
        const service_reading before = service.read();
        if (service.fails_at == 1) {
            ++service.reading.load.answers;
            service.reading.load.add_error("57P03");
        }
        run->begin(before);
    }
    void pass(int for_s) {
        for (int i = 0; i < 5 * for_s; ++i) {
            now += milliseconds(200);
            run->look();
        }
    }
    std::string status(const char* field) const {
        const auto value = run->status().at(field);
        return value.is_string() ? std::string(value.as_string()) : boost::json::serialize(value);
    }

    limits::clock::time_point now{seconds(1000)};
    std::unique_ptr<fake_service> made = std::make_unique<fake_service>();
    fake_service& service = *made;  ///< the run's, once it has started
    std::optional<stages_run> run;
};

constexpr std::string_view held_guard = "[{held: {max: 5}}]";
constexpr std::string_view held_guard_falls = "[{held: {max: 5}, on_fail: fall_back}]";

TEST_F(StagesRun, AdmitsOneStageAfterTheOther) {
    start();
    EXPECT_EQ(status("state"), "running");
    EXPECT_EQ(status("what"), "admission");
    pass(9);
    EXPECT_THAT(service.log, IsEmpty());
    EXPECT_EQ(status("left_ms"), "1000");
    pass(1);
    EXPECT_THAT(service.log, ElementsAre("2/3 10.0.0.0/8 by alice"));
    pass(20);
    EXPECT_THAT(
        service.log, ElementsAre("2/3 10.0.0.0/8 by alice", "3/3 all by alice", "over done")
    );
    EXPECT_TRUE(run->is_over());
    EXPECT_EQ(status("outcome"), "done");
    EXPECT_EQ(run->skip("bob").exit, exit_code::refused);
}

TEST_F(StagesRun, AGuardHoldsAndSaysWhy) {
    start(held_guard);
    service.reading.held = 6;
    pass(60);
    EXPECT_THAT(service.log, ElementsAre("held"));
    EXPECT_EQ(status("state"), "held");
    EXPECT_EQ(status("why"), "held: 6, at most 5");
    EXPECT_THAT(status("guards"), HasSubstr("\"passes\":false"));
    service.reading.held = 5;
    pass(11);
    EXPECT_THAT(service.log, ElementsAre("held", "2/3 10.0.0.0/8 by alice"));
}

constexpr std::string_view any_error = "[{errors: {max: 0%}, at_least: 1, on_fail: fall_back}]";

TEST_F(StagesRun, WhatFailsAtOnceCountsInTheFirstStage) {
    service.fails_at = 1;
    start(any_error);
    pass(1);
    EXPECT_EQ(status("state"), "fallen_back");
    EXPECT_EQ(run->stage(), 0U);
}

TEST_F(StagesRun, WhatFailsAtOnceCountsInALaterStage) {
    service.fails_at = 2;
    start(any_error);
    pass(11);
    EXPECT_EQ(status("state"), "fallen_back");
    EXPECT_EQ(run->stage(), 1U);
}

TEST_F(StagesRun, AGuardFallsBackAndTheOperatorGoesOn) {
    start(held_guard_falls);
    pass(10);
    service.reading.held = 6;
    pass(60);
    EXPECT_THAT(
        service.log,
        ElementsAre("2/3 10.0.0.0/8 by alice", "1/3 10.0.0.0/16 by alice: held: 6, at most 5")
    );
    EXPECT_EQ(status("state"), "fallen_back");
    EXPECT_EQ(status("why"), "held: 6, at most 5");
    service.reading.held = 0;
    EXPECT_TRUE(run->resume("bob").is_done());
    pass(10);
    EXPECT_EQ(service.log.back(), "2/3 10.0.0.0/8 by alice");
}

TEST_F(StagesRun, FromTheFirstStageTheSetBeforeComesBack) {
    start(held_guard_falls);
    service.reading.held = 6;
    pass(1);
    EXPECT_THAT(service.log, ElementsAre("0/3 none by alice: held: 6, at most 5"));
    EXPECT_EQ(status("guards"), "[]");
    EXPECT_TRUE(run->skip("bob").is_done());
    EXPECT_EQ(service.log.back(), "1/3 10.0.0.0/16 by bob");
}

TEST_F(StagesRun, WhatIsRefusedIsTriedAgain) {
    start();
    service.trouble = "service app is busy: a drain is running";
    pass(15);
    EXPECT_THAT(service.log, IsEmpty());
    EXPECT_EQ(status("why"), service.trouble);
    const outcome skipped = run->skip("bob");
    EXPECT_EQ(skipped.exit, exit_code::refused);
    EXPECT_EQ(skipped.error, service.trouble);
    service.trouble.clear();
    pass(1);
    EXPECT_THAT(service.log, ElementsAre("2/3 10.0.0.0/8 by alice"));
    EXPECT_EQ(status("why"), "");
}

TEST_F(StagesRun, PausesResumesSkipsAndEnds) {
    start();
    EXPECT_TRUE(run->pause("bob").is_done());
    EXPECT_EQ(run->pause("bob").exit, exit_code::refused);
    pass(100);
    EXPECT_TRUE(run->resume("bob").is_done());
    EXPECT_EQ(run->resume("bob").exit, exit_code::refused);
    EXPECT_TRUE(run->skip("carol").is_done());
    EXPECT_TRUE(run->end("aborted", "bob"));
    EXPECT_FALSE(run->end("aborted", "bob"));
    pass(100);
    EXPECT_THAT(
        service.log, ElementsAre("paused", "resumed", "2/3 10.0.0.0/8 by carol", "over aborted")
    );
    EXPECT_EQ(run->pause("bob").error, "the stages are over: aborted");
    EXPECT_EQ(run->stage(), 2);
}

TEST_F(StagesRun, ProbesAreAskedNowAndThen) {
    start("[{sql: {query: SELECT x}, every: 5s, name: lag}]");
    pass(1);
    EXPECT_EQ(service.asked, 1);
    service.answer = "f";
    pass(3);
    EXPECT_EQ(status("state"), "running") << "the last answer counts";
    pass(5);
    EXPECT_EQ(service.asked, 2);
    EXPECT_EQ(status("why"), "lag: \"f\", expected t");
    service.answer = "t";
    pass(16);
    EXPECT_THAT(service.log, ElementsAre("held", "2/3 10.0.0.0/8 by alice"));
}

TEST_F(StagesRun, AStageIsNotJudgedByWhatTheOneBeforeMet) {
    start("[{errors: {max: 1%}, on_fail: fall_back}]");
    pass(9);
    service.reading.load.answers = 10;  // too few to be judged
    for (int i = 0; i < 10; ++i) {
        service.reading.load.add_error("53300");
    }
    pass(1);
    service.reading.load.answers = 25;
    pass(1);
    EXPECT_THAT(service.log, ElementsAre("2/3 10.0.0.0/8 by alice"));
    service.reading.load.answers = 100;
    service.reading.load.errors[{'5', '3'}] = 60;
    pass(1);
    EXPECT_EQ(
        service.log.back(),
        "1/3 10.0.0.0/16 by alice: errors: 55.6% of 90 answers were errors, at most 1%"
    );
}

}  // namespace
}  // namespace pgsluice::control
