#include "control/stages/plan.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace pgsluice::control {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;

service_config configured() {
    service_config service;
    service.name = "app";
    service.backends = {{"blue", {"10.0.0.1", 5432}, {}}, {"green", {"10.0.0.2", 5432}, {}}};
    service.admin.user = "postgres";
    return service;
}

std::string first_error(
    std::string_view yaml,
    const service_config& service = configured(),
    stages_of what = stages_of::admission
) {
    const auto read = parse_stages(yaml, service, what);
    return read.errors.empty() ? "" : format_problem("s", read.errors.front());
}

stages_plan plan_of(std::string_view yaml) {
    const auto read = parse_stages(yaml, configured());
    EXPECT_TRUE(read.value.has_value()) << format_problem("s", read.errors.front());
    return read.value.value_or(stages_plan{});
}

/// A guard among those of one stage, at line 3 and column 6.
std::string with_guard(std::string_view guard) {
    return "stages: [{admit: [all]}]\nguards:\n   - " + std::string(guard) + "\n";
}

TEST(StagesPlan, ReadsStagesWithTheirDwellTimesAndGuards) {
    const stages_plan plan = plan_of(R"(
dwell: 5m
refuse: back at 14:00
guards:
  - held: {max: 10}
    on_fail: fall_back
stages:
  - admit: [10.0.0.0/16, "2001:db8::/32=25%"]
  - admit: [10.0.0.0/8]
    dwell: 30s
    guards:
      - errors: {classes: ["08", XX], max: 0.5%}
        over: 10s
        at_least: 100
  - admit: [all]
    dwell: 0s
)");
    ASSERT_EQ(plan.stages.size(), 3);
    EXPECT_EQ(plan.stages[0].dwell, minutes{5});
    EXPECT_EQ(plan.stages[1].dwell, seconds{30});
    EXPECT_THAT(plan.stages[0].set.tokens(), ElementsAre("2001:db8::/32=25%", "10.0.0.0/16"));
    ASSERT_EQ(plan.stages[1].guards.size(), 2) << "those of all stages and its own";
    EXPECT_EQ(plan.stages[1].guards[0].kind, guard_kind::held);
    EXPECT_EQ(plan.stages[1].guards[0].on_fail, guard_policy::fall_back);
    const guard_config& errors = plan.stages[1].guards[1];
    EXPECT_EQ(errors.kind, guard_kind::errors);
    EXPECT_THAT(errors.classes, ElementsAre("08", "XX"));
    EXPECT_EQ(errors.max, 0.5);
    EXPECT_EQ(errors.over, seconds{10});
    EXPECT_EQ(errors.at_least, 100);
    const proxy::admission last = plan.admission_of(2);
    EXPECT_TRUE(last.set.is_all());
    EXPECT_TRUE(last.refuses);
    EXPECT_EQ(last.message, "back at 14:00");
}

TEST(StagesPlan, TheLastStageNeedsNoDwellTime) {
    EXPECT_EQ(plan_of("stages: [{admit: [none], dwell: 1s}, {admit: [all]}]").stages.size(), 2);
    EXPECT_THAT(
        first_error("stages:\n - admit: [none]\n - admit: [all]\n"),
        HasSubstr("s:2:4: stage 1 has no \"dwell\", expected one there or for all of them")
    );
}

TEST(StagesPlan, ReadsEveryKindOfGuard) {
    const auto kind = [](std::string_view guard) {
        const stages_plan plan = plan_of(with_guard(guard));
        return plan.stages.at(0).guards.at(0).kind;
    };
    EXPECT_EQ(kind("errors: {max: 1%}"), guard_kind::errors);
    EXPECT_EQ(kind("latency: {quantile: 99.9, max: 20ms}"), guard_kind::latency);
    EXPECT_EQ(kind("latency: {factor: 1.5}"), guard_kind::latency);
    EXPECT_EQ(kind("latency: {factor: 2, baseline: 5ms}"), guard_kind::latency);
    EXPECT_EQ(kind("held: {max: 0}"), guard_kind::held);
    EXPECT_EQ(kind("backend_connections: {max: 400}"), guard_kind::backend_connections);
    EXPECT_EQ(
        kind("{sql: {query: SELECT 1, max: 5, min: -1, backend: green}, every: 1s}"),
        guard_kind::sql
    );
    EXPECT_EQ(kind("{command: {run: \"true\"}, timeout: 2s, name: mine}"), guard_kind::command);
}

struct wrong_case {
    std::string yaml;
    std::string_view error;
};

class StagesPlanErrors : public testing::TestWithParam<wrong_case> {};

TEST_P(StagesPlanErrors, EachIsToldWithItsPlace) {
    EXPECT_THAT(first_error(GetParam().yaml), HasSubstr(std::string(GetParam().error)));
}

const wrong_case wrong_files[] = {
    {"[]", "s:1:1: the file holds a list, expected a mapping with stages"},
    {"", "the file holds nothing, expected a mapping with stages"},
    {"{", "YAML: "},
    {"dwell: 1s\n", "s:1:1: the file has no \"stages\", expected at least one"},
    {"stages: []\n", "s:1:9: stages is empty"},
    {"stages: all\n", "s:1:9: stages is \"all\", expected a value of type: list of mappings"},
    {"stages: [all]\n", "s:1:10: stages: \"all\" is not valid, expected a mapping of keys"},
    {"stages:\n - admitt: [all]\n",
     "s:2:4: unknown key \"admitt\" in stage 1, expected admit, dwell or guards; did you mean "
     "\"admit\"?"},
    {"stages:\n - dwell: 1s\n", "s:2:4: stage 1 has no \"admit\", expected one"},
    {"stages:\n - admit: all\n", "s:2:11: stage 1.admit is \"all\", expected a value of type"},
    {"stages:\n - admit:\n    - 10.0.0.0/16\n    - 10.0.0.1/8\n",
     "s:4:7: stage 1.admit: \"10.0.0.1/8\" has bits set beyond its prefix"},
    {"stages:\n - admit: [::/0, ::/0]\n", "s:2:11: stage 1.admit: \"::/0\" is given twice"},
    {"stages:\n - {admit: [all], dwell: 10}\n", "s:2:26: stage 1.dwell: \"10\""},
    {"stages: [{admit: [all]}]\nstage: 1\n",
     "s:2:1: unknown key \"stage\", expected stages, guards, dwell or refuse; did you mean"},
};
INSTANTIATE_TEST_SUITE_P(Files, StagesPlanErrors, testing::ValuesIn(wrong_files));

const wrong_case wrong_guards[] = {
    {with_guard("on_fail: hold"),
     "s:3:6: a guard looks at nothing, expected errors, latency, held, backend_connections, sql or "
     "command"},
    {with_guard("{held: {max: 1}, errors: {max: 1%}}"),
     "s:3:19: a guard looks at errors and held, expected one of them in each guard"},
    {with_guard("{errors: {max: 101%}}"), "s:3:21: a guard.errors.max: \"101%\" is not valid"},
    {with_guard("errors: {classes: [42601], max: 1%}"),
     "s:3:25: a guard.errors.classes: \"42601\" is not a class of SQLSTATEs"},
    {with_guard("errors: {classes: [XX]}"), "s:3:6: a guard has no \"errors.max\""},
    {with_guard("errors: {max: 1%, min: 0}"), "s:3:24: unknown key \"min\" in a guard.errors"},
    {with_guard("latency: {quantile: 100, max: 1s}"), "s:3:26: a guard.latency.quantile: \"100\""},
    {with_guard("latency: {quantile: 99}"),
     "s:3:6: a guard.latency has neither of \"max\" and \"factor\""},
    {with_guard("latency: {max: 1s, factor: 2}"),
     "a guard.latency has both \"max\" and \"factor\""},
    {with_guard("latency: {factor: 0.5}"), "s:3:24: a guard.latency.factor: \"0.5\" is not valid"},
    {with_guard("latency: {max: 1s, baseline: 1s}"), "s:3:35: a guard.latency.baseline has no"},
    {with_guard("held: {max: -1}"), "s:3:18: a guard.held.max: \"-1\" is not valid"},
    {with_guard("held: {max: 1.5}"), "s:3:18: a guard.held.max: \"1.5\" is not valid"},
    {with_guard("{held: {max: 1}, over: 5s}"), "s:3:29: a guard.over has no effect on this kind"},
    {with_guard("{held: {max: 1}, every: 5s}"), "s:3:30: a guard.every has no effect"},
    {with_guard("{errors: {max: 1%}, over: 0ms}"), "s:3:32: a guard.over: \"0ms\" is no time"},
    {with_guard("{errors: {max: 1%}, at_least: 0}"), "s:3:36: a guard.at_least: \"0\""},
    {with_guard("{held: {max: 1}, on_fail: fallback}"),
     "s:3:32: a guard.on_fail: \"fallback\" is not valid, expected hold or fall_back; did you mean "
     "\"fall_back\"?"},
    {with_guard("sql: {max: 1}"), "s:3:6: a guard has no \"sql.query\", expected one"},
    {with_guard("sql: {query: SELECT 1, backend: red}"), "s:3:38: a guard.sql.backend: "},
    {with_guard("sql: {query: SELECT 1, min: 2, max: 1}"), "s:3:34: a guard.sql.min is above max"},
    {with_guard("command: {run: \"\"}"), "s:3:21: a guard.command.run: it is empty"},
};
INSTANTIATE_TEST_SUITE_P(Guards, StagesPlanErrors, testing::ValuesIn(wrong_guards));

TEST(StagesPlan, StatementsNeedALogin) {
    service_config service = configured();
    service.admin = {};
    EXPECT_THAT(
        first_error(with_guard("sql: {query: SELECT true}"), service),
        HasSubstr("s:3:19: a guard.sql needs a login, expected services.app.admin")
    );
}

TEST(StagesPlan, ACanaryTakesTheSameFileButForWhatHasNoMeaning) {
    const auto error = [](std::string_view yaml) {
        return first_error(yaml, configured(), stages_of::canary);
    };
    const std::string_view fine = "stages: [{admit: [10.0.0.0/8=5%], dwell: 1s}, {admit: [all]}]";
    const auto read = parse_stages(fine, configured(), stages_of::canary);
    ASSERT_TRUE(read.value.has_value()) << format_problem("s", read.errors.front());
    EXPECT_EQ(read.value->what, stages_of::canary);
    EXPECT_EQ(plan_of(fine).what, stages_of::admission);
    EXPECT_THAT(
        error("stages: [{admit: [all]}]\nrefuse: later\n"),
        HasSubstr("s:2:9: refuse has no meaning for a canary, whose other clients stay on the route"
        )
    );
    for (const char* nobody : {"none", "10.0.0.0/8=0%"}) {
        EXPECT_EQ(
            error("stages: [{admit: [" + std::string(nobody) + "]}]"),
            "s:1:18: stage 1.admit: a canary of nobody, expected ranges"
        );
    }
}

TEST(StagesPlan, TheExampleIsValid) {
    const auto read = load_stages(PGSLUICE_SOURCE_DIR "/configs/stages.yaml", configured());
    EXPECT_TRUE(read.value.has_value()) << format_problem("stages.yaml", read.errors.front());
    const auto none = load_stages("/nonexistent", configured());
    EXPECT_THAT(none.errors.at(0).text, HasSubstr("cannot be read"));
}

}  // namespace
}  // namespace pgsluice::control
