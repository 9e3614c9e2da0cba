#include "control/stages/guard_meter.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgsluice::control {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

/// Readings of a service whose clients do what a test says.
class GuardMeter : public testing::Test {
protected:
    void SetUp() override { meter.begin_stage(1, reading); }

    void serve(int answers, milliseconds took) {
        for (int i = 0; i < answers; ++i) {
            ++reading.load.answers;
            reading.load.latency.add(took);
        }
    }
    void fail(int times, const char* sqlstate) {
        for (int i = 0; i < times; ++i) {
            ++reading.load.answers;
            reading.load.add_error(sqlstate);
        }
    }
    void pass(milliseconds time) {
        reading.at += time;
        meter.add(reading);
    }
    void begin(std::size_t stage) { meter.begin_stage(stage, reading); }
    guard_verdict judge(const guard_config& guard) const { return meter.judge(guard); }

    static guard_config errors(double percent, std::vector<std::string> classes = {}) {
        guard_config guard{.kind = guard_kind::errors};
        guard.classes = std::move(classes);
        guard.max = percent;
        return guard;
    }
    static guard_config latency(std::optional<double> max, std::optional<double> factor = {}) {
        guard_config guard{.kind = guard_kind::latency};
        guard.max = max;
        guard.factor = factor;
        return guard;
    }

    guard_meter meter{seconds(30)};
    service_reading reading{.at = limits::clock::time_point(seconds(1000))};
};

TEST_F(GuardMeter, ErrorsCountByClass) {
    serve(96, milliseconds(1));
    fail(3, "53300");
    fail(1, "42601");
    pass(seconds(1));
    EXPECT_TRUE(judge(errors(4)).is_ok);
    EXPECT_FALSE(judge(errors(3)).is_ok);
    EXPECT_TRUE(judge(errors(3, {"53", "57"})).is_ok);
    EXPECT_FALSE(judge(errors(2.9, {"53"})).is_ok);
    EXPECT_EQ(
        judge(errors(2.9, {"53", "57"})).text,
        "errors: 3.0% of 100 answers were errors of class 53,57, at most 2.9%"
    );
}

TEST_F(GuardMeter, FewAnswersProveNothing) {
    fail(19, "53300");
    pass(seconds(1));
    EXPECT_TRUE(judge(errors(0)).is_ok);
    fail(1, "53300");
    pass(seconds(1));
    EXPECT_FALSE(judge(errors(0)).is_ok);
}

TEST_F(GuardMeter, LooksBackSoFarAndNotBeyondTheStage) {
    fail(50, "53300");
    pass(seconds(1));
    EXPECT_FALSE(judge(errors(10)).is_ok);
    for (int i = 0; i < 31; ++i) {
        serve(5, milliseconds(1));
        pass(seconds(1));
    }
    EXPECT_TRUE(judge(errors(0)).is_ok) << judge(errors(0)).text;
    fail(50, "53300");
    pass(seconds(1));
    EXPECT_FALSE(judge(errors(10)).is_ok);
    begin(2);
    EXPECT_TRUE(judge(errors(0)).is_ok);
    fail(50, "53300");
    pass(milliseconds(200));
    EXPECT_FALSE(judge(errors(0)).is_ok);
}

TEST_F(GuardMeter, AShorterSpanForgetsEarlier) {
    guard_config guard = errors(1);
    guard.over = seconds(5);
    fail(50, "XX000");
    pass(seconds(1));
    EXPECT_FALSE(judge(guard).is_ok);
    for (int i = 0; i < 6; ++i) {
        serve(50, milliseconds(1));
        pass(seconds(1));
    }
    EXPECT_TRUE(judge(guard).is_ok) << judge(guard).text;
    EXPECT_FALSE(judge(errors(1)).is_ok);
}

TEST_F(GuardMeter, LatencyIsAQuantile) {
    serve(985, milliseconds(2));
    serve(15, milliseconds(80));
    pass(seconds(1));
    EXPECT_FALSE(judge(latency(50)).is_ok) << judge(latency(50)).text;
    guard_config median = latency(50);
    median.quantile = 50;
    EXPECT_TRUE(judge(median).is_ok);
    EXPECT_THAT(judge(latency(50)).text, HasSubstr("latency: p99 of 1000 answers is 8"));
}

TEST_F(GuardMeter, TheFirstStageIsTheBaseline) {
    const guard_config guard = latency({}, 2);
    serve(10, milliseconds(10));
    pass(seconds(1));
    EXPECT_TRUE(judge(guard).is_ok);
    EXPECT_FALSE(judge(guard).is_ready) << "10 of 20 answers";
    serve(10, milliseconds(10));
    pass(seconds(1));
    EXPECT_TRUE(judge(guard).is_ready);
    begin(2);
    serve(100, milliseconds(19));
    pass(seconds(1));
    EXPECT_TRUE(judge(guard).is_ok) << judge(guard).text;
    serve(10, milliseconds(30));
    pass(seconds(1));
    EXPECT_FALSE(judge(guard).is_ok);
    begin(3);
    serve(100, milliseconds(30));
    pass(seconds(1));
    EXPECT_FALSE(judge(guard).is_ok) << "the first stage's, not that of the one before";
}

TEST_F(GuardMeter, ABaselineCanBeGivenOrMissing) {
    guard_config guard = latency({}, 2);
    guard.baseline = milliseconds(10);
    serve(100, milliseconds(30));
    pass(seconds(1));
    EXPECT_FALSE(judge(guard).is_ok) << "in the first stage, too";
    begin(1);
    begin(2);
    serve(100, milliseconds(1000));
    pass(seconds(1));
    EXPECT_TRUE(judge(latency({}, 2)).is_ok) << "the first stage was skipped";
    EXPECT_TRUE(judge(latency({}, 2)).is_ready);
    EXPECT_THAT(judge(latency({}, 2)).text, HasSubstr("without a baseline"));
}

/// What the clients that stay on the route get.
class GuardMeterOfACanary : public GuardMeter {
protected:
    void SetUp() override {
        reading.beside.emplace();
        GuardMeter::SetUp();
    }
    void serve_beside(int answers, milliseconds took) {
        for (int i = 0; i < answers; ++i) {
            ++reading.beside->answers;
            reading.beside->latency.add(took);
        }
    }
};

TEST_F(GuardMeterOfACanary, ItsBaselineIsTheRouteAtTheSameTime) {
    const guard_config guard = latency({}, 2);
    serve_beside(100, milliseconds(10));
    serve(100, milliseconds(30));
    pass(seconds(1));
    EXPECT_FALSE(judge(guard).is_ok) << "in the first stage, too";
    EXPECT_THAT(judge(guard).text, HasSubstr("at most 2"));
    for (int i = 0; i < 31; ++i) {
        serve_beside(100, milliseconds(20));
        serve(100, milliseconds(30));
        pass(seconds(1));
    }
    EXPECT_TRUE(judge(guard).is_ok) << "the route is slower, too: " << judge(guard).text;
    begin(2);
    serve(100, milliseconds(30));
    pass(seconds(1));
    EXPECT_TRUE(judge(guard).is_ok) << "nobody is on the route any more: since the run began";
    serve(1000, milliseconds(100));
    pass(seconds(1));
    EXPECT_FALSE(judge(guard).is_ok);
}

TEST_F(GuardMeterOfACanary, WithoutTheRouteThereIsNoBaseline) {
    serve_beside(19, milliseconds(1));
    serve(100, milliseconds(1000));
    pass(seconds(1));
    const guard_verdict found = judge(latency({}, 2));
    EXPECT_TRUE(found.is_ok && found.is_ready) << "it waits for nobody";
    EXPECT_THAT(found.text, HasSubstr("without a baseline"));
    EXPECT_FALSE(judge(latency(50)).is_ok) << "a figure is one";
}

TEST_F(GuardMeter, CountsAreAsLastRead) {
    guard_config held{.kind = guard_kind::held};
    held.max = 3;
    guard_config connections{.kind = guard_kind::backend_connections, .name = "backends"};
    connections.max = 3;
    reading.held = 4;
    reading.backend_connections = 3;
    pass(seconds(1));
    EXPECT_FALSE(judge(held).is_ok);
    EXPECT_EQ(judge(held).text, "held: 4, at most 3");
    EXPECT_TRUE(judge(connections).is_ok);
    EXPECT_EQ(judge(connections).text, "backends: 3, at most 3");
}

TEST_F(GuardMeter, ProbesAreJudgedByTheirAnswer) {
    guard_config sql{.kind = guard_kind::sql};
    EXPECT_FALSE(judge(sql).is_ready) << "not asked yet";
    EXPECT_TRUE(guard_meter::judge_value(sql, "t").is_ok);
    EXPECT_FALSE(guard_meter::judge_value(sql, "f").is_ok);
    EXPECT_FALSE(guard_meter::judge_value(sql, "").is_ok);
    sql.min = 1;
    sql.max = 2.5;
    EXPECT_TRUE(guard_meter::judge_value(sql, "2.50").is_ok);
    EXPECT_FALSE(guard_meter::judge_value(sql, "0").is_ok);
    EXPECT_FALSE(guard_meter::judge_value(sql, "2.51").is_ok);
    EXPECT_FALSE(guard_meter::judge_value(sql, "much").is_ok);
    EXPECT_EQ(guard_meter::judge_value(sql, "3").text, "sql: 3, at least 1, at most 2.5");
    EXPECT_FALSE(guard_meter::judge_failure(sql, "it is down").is_ok);
}

TEST_F(GuardMeter, KeepsFewReadings) {
    for (int i = 0; i < 100'000; ++i) {
        serve(1, milliseconds(1));
        pass(milliseconds(1));
    }
    EXPECT_TRUE(judge(errors(0)).is_ok);
    EXPECT_THAT(judge(errors(0)).text, HasSubstr("of 30"));
}

}  // namespace
}  // namespace pgsluice::control
