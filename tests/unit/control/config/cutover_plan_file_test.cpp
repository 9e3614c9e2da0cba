#include "control/config/cutover_plan_file.hpp"
#include "tests/unit/control/cutover/fake_world.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace pgsluice::control {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

service_config configured() {
    service_config service;
    service.name = "app";
    service.backends = {{"blue", {"10.0.0.1", 5432}, {}}, {"green", {"10.0.0.2", 5432}, {}}};
    service.cutover.drain_timeout = std::chrono::seconds{7};
    return service;
}

std::vector<std::string> errors_of(std::string_view yaml) {
    std::vector<std::string> texts;
    for (const config_problem& found : parse_plan(yaml, configured()).errors) {
        texts.push_back(format_problem("p", found));
    }
    return texts;
}

TEST(Plan, ChangesWhatItNamesAndNothingElse) {
    const auto read = parse_plan(
        "from: blue\nto: green\nattempts: 3\npause_limit: 800ms\nfence: none\n"
        "replication: {kind: logical, subscription: s}\n",
        configured()
    );
    ASSERT_TRUE(read.value.has_value()) << format_problem("p", read.errors.front());
    EXPECT_EQ(read.value->from, "blue");
    EXPECT_EQ(read.value->to, "green");
    service_config expected = configured();
    expected.cutover.attempts = 3;
    expected.cutover.pause_limit = std::chrono::milliseconds{800};
    expected.cutover.fence = fence_method::none;
    expected.replication = {.kind = replication_kind::logical, .subscription = "s"};
    EXPECT_EQ(read.value->service, expected);
}

TEST(Plan, AListTakesThePlaceOfTheConfiguredOne) {
    service_config before = configured();
    before.cutover.prewarm = {"public.a", "public.b"};
    const auto read = parse_plan("prewarm: [public.c]\n", before);
    ASSERT_TRUE(read.value.has_value());
    EXPECT_THAT(read.value->service.cutover.prewarm, ElementsAre("public.c"));
    EXPECT_EQ(parse_plan("{}", before).value->service, before);
    EXPECT_THAT(
        errors_of("prewarm: public.c\n"), ElementsAre(HasSubstr("prewarm is \"public.c\""))
    );
    EXPECT_THAT(errors_of("prewarm: [\"\"]\n"), ElementsAre(HasSubstr("name of a table")));
}

TEST(Cutover, ReadsAheadBeforeAnythingHasToBeUndone) {
    fake_world fake;
    cutover_request request = asked(replication_kind::logical);
    request.prewarm = {"public.t"};
    EXPECT_EQ(run_cutover(request, fake.world()).exit_code, 0);
    const std::vector<std::string> head(fake.calls.begin(), fake.calls.begin() + 3);
    EXPECT_THAT(head, ElementsAre("preflight", "prewarm", "record begun"));
}

TEST(Plan, AnEmptyMappingIsTheConfiguration) {
    const auto read = parse_plan("{}", configured());
    ASSERT_TRUE(read.value.has_value());
    EXPECT_EQ(read.value->service, configured());
}

TEST(Plan, EveryErrorSaysWhereAndWhatWasExpected) {
    EXPECT_THAT(
        errors_of("to: gren\n"),
        ElementsAre(HasSubstr("p:1:5: to: \"gren\" is not a backend of service app, expected blue "
                              "or green; did you mean \"green\"?"))
    );
    EXPECT_THAT(
        errors_of("to: green\nattemps: 2\n"),
        ElementsAre(AllOf(HasSubstr("p:2:1: unknown key \"attemps\""), HasSubstr("attempts")))
    );
    EXPECT_THAT(errors_of("attempts: 0\n"), ElementsAre(HasSubstr("p:1:11: attempts: \"0\"")));
    EXPECT_THAT(errors_of("listen: [\"h:1\"]\n"), ElementsAre(HasSubstr("unknown key \"listen\"")))
        << "only what a cutover is about";
    EXPECT_THAT(errors_of("- a\n"), ElementsAre(HasSubstr("the plan holds a list")));
    EXPECT_THAT(errors_of("a: [\n"), ElementsAre(HasSubstr("YAML: ")));
    EXPECT_THAT(
        errors_of("replication: {kind: logical}\n"), ElementsAre(HasSubstr("subscription"))
    );
    EXPECT_EQ(load_plan("/nowhere/plan.yaml", configured()).errors.size(), 1U);
}

TEST(Plan, TheExampleIsValid) {
    const auto read = load_plan(PGSLUICE_SOURCE_DIR "/configs/cutover.yaml", configured());
    EXPECT_TRUE(read.value.has_value()) << format_problem("p", read.errors.front());
}

// --- what the keys do

TEST(Hooks, RunAroundTheCutover) {
    fake_world fake;
    auto request = asked(replication_kind::none);
    request.has_before = request.has_after = request.has_abort = true;
    EXPECT_EQ(run_cutover(request, fake.world()).exit_code, 0);
    EXPECT_EQ(fake.calls[1], "before") << "after the checks, before anything is touched";
    EXPECT_EQ(fake.calls[fake.calls.size() - 2], "after");
    EXPECT_THAT(fake.calls, Not(Contains("on abort")));
}

TEST(Hooks, OneThatFailsBeforeEndsTheCutoverUntouched) {
    fake_world fake;
    auto request = asked(replication_kind::none);
    request.has_before = request.has_abort = true;
    fake.failing["before"] = 1;
    const auto report = run_cutover(request, fake.world());
    EXPECT_EQ(report.exit_code, 1);
    EXPECT_THAT(fake.calls, ElementsAre("preflight", "before", "on abort"));
    EXPECT_THAT(fake.hook_text, HasSubstr("before was told to fail"));
    EXPECT_THAT(fake.records, IsEmpty());
}

TEST(Hooks, OneThatFailsAfterwardsNeedsTheOperator) {
    fake_world fake;
    auto request = asked(replication_kind::none);
    request.has_after = true;
    fake.failing["after"] = 1;
    EXPECT_EQ(run_cutover(request, fake.world()).exit_code, 6);
    EXPECT_TRUE(fake.open);
}

TEST(Hooks, OneThatFailsAfterAnAbortIsReported) {
    fake_world fake;
    auto request = asked(replication_kind::none);
    request.has_abort = true;
    fake.failing["verify"] = 1;
    fake.failing["on abort"] = 1;
    const auto report = run_cutover(request, fake.world());
    EXPECT_EQ(report.exit_code, 1);
    EXPECT_TRUE(fake.open);
    EXPECT_THAT(report.text, HasSubstr("on abort was told to fail"));
}

TEST(PauseLimit, EndsAPauseWhateverTheStepsMayTake) {
    fake_world fake;
    auto request = asked(replication_kind::logical);
    request.pause_limit = std::chrono::milliseconds{30};
    request.prepare_timeout = std::chrono::milliseconds{1};  // the fake never gets there either
    request.drain_timeout = std::chrono::hours{1};
    request.long_transaction = {};
    fake.never_parks = true;
    const auto report = run_cutover(request, fake.world());
    EXPECT_EQ(report.exit_code, 5);
    EXPECT_TRUE(fake.open);
    EXPECT_GE(report.pause.held, request.pause_limit);
}

TEST(Fence, NoneTouchesNoServerAndLeavesNoMemory) {
    fake_world fake;
    auto request = asked(replication_kind::logical);
    request.fence = fence_method::none;
    const auto report = run_cutover(request, fake.world());
    EXPECT_EQ(report.exit_code, 0) << report.text;
    EXPECT_THAT(fake.calls, Not(Contains("fence")));
    EXPECT_FALSE(report.fence_stands.has_value());
    ASSERT_FALSE(fake.records.empty());
    EXPECT_FALSE(fake.records.front().fence.has_value());

    fake_world failing;
    failing.failing["verify"] = 1;
    run_cutover(request, failing.world());
    EXPECT_THAT(failing.calls, Not(Contains("unfence")));
}

}  // namespace
}  // namespace pgsluice::control
