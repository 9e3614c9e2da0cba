// Whom a cutover admits on the new server.
#include "control/config/cutover_plan_file.hpp"
#include "control/journal/service_state.hpp"
#include "control/records/admission.hpp"
#include "control/records/cutover_json.hpp"
#include "tests/unit/control/cutover/fake_world.hpp"

namespace pgsluice::control {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

cutover_request staged() {
    cutover_request request = asked(replication_kind::logical);
    request.admit_after = admission_of("10.1.0.0/16=10% 10.2.0.0/16");
    return request;
}

TEST(AdmitAfter, IsJournaledWithTheCommitAndInForceBeforeTheGateOpens) {
    fake_world fake;
    const auto report = run_cutover(staged(), fake.world());
    EXPECT_EQ(report.exit_code, 0) << report.text;
    EXPECT_EQ(fake.admitted, *staged().admit_after);
    const auto at = std::find(fake.calls.begin(), fake.calls.end(), "record committed");
    ASSERT_NE(at, fake.calls.end());
    EXPECT_THAT(
        std::vector<std::string>(at, at + 4),
        ElementsAre("record committed", "admit", "commit_move 1 8", "open_gate")
    );
    EXPECT_THAT(report.steps, Contains(testing::Field(&step_report::text, HasSubstr("held"))));
}

TEST(AdmitAfter, OfACutoverThatGoesBackChangesNothing) {
    fake_world fake;
    fake.failing["record committed"] = 1;
    expect_as_before(fake, run_cutover(staged(), fake.world()));
    EXPECT_THAT(fake.calls, Not(Contains("admit")));
}

TEST(AdmitAfter, StandsInThePlan) {
    const auto plan = make_plan(staged());
    const auto open = std::find_if(plan.begin(), plan.end(), [](const planned_step& one) {
        return one.name == "open";
    });
    EXPECT_EQ(open->does, "open the gate for 10.2.0.0/16 10.1.0.0/16=10%, hold all others");
}

TEST(AdmitAfter, IsWhatARestartBehindTheCommitBeginsWith) {
    std::vector<journal_record> records{
        {1, 1, "app", "route", {{"backend", "blue"}, {"generation", 1}}}};
    cutover_record begun{.id = "c", .from = "blue", .to = "green"};
    records.push_back({2, 2, "app", journal_kind(record_kind::begun), encode_cutover(begun)});
    EXPECT_EQ(replay(records)->at("app").admitted, proxy::admission{});
    cutover_record committed = begun;
    committed.kind = record_kind::committed;
    committed.generation = 2;
    committed.admit = staged().admit_after;
    records.push_back({3, 3, "app", journal_kind(record_kind::committed), encode_cutover(committed)}
    );
    EXPECT_EQ(replay(records)->at("app").admitted, *staged().admit_after);
}

TEST(AdmitAfter, IsReadAsTheCommandReadsIt) {
    service_config service;
    service.name = "app";
    const auto good = parse_plan("admit_after: 10.1.0.0/16=10% ::1\n", service);
    ASSERT_TRUE(good.value.has_value());
    EXPECT_EQ(good.value->service.cutover.admit_after, "10.1.0.0/16=10% ::1");
    const auto bad = parse_plan("admit_after: 10.1.0.0/8\n", service);
    ASSERT_EQ(bad.errors.size(), 1U);
    EXPECT_THAT(bad.errors[0].text, HasSubstr("10.1.0.0/8"));
}

}  // namespace
}  // namespace pgsluice::control
