// A cutover whose clients go on read-only.
#include "control/config/cutover_plan_file.hpp"
#include "control/journal/service_state.hpp"
#include "control/records/cutover_json.hpp"
#include "tests/unit/control/cutover/fake_world.hpp"

namespace pgsluice::control {
namespace {

cutover_request read_only_after() {
    cutover_request request = asked(replication_kind::logical);
    request.read_only_after = true;
    return request;
}

TEST(CutoverReadOnly, IsJournaledWithTheCommitAndHoldsBeforeTheGateOpens) {
    fake_world fake;
    const auto report = run_cutover(read_only_after(), fake.world());
    EXPECT_EQ(report.exit_code, 0);
    EXPECT_TRUE(fake.read_only);
    const auto& text = report.steps;
    const auto open = std::find_if(text.begin(), text.end(), [](const auto& step) {
        return step.name == "open";
    });
    EXPECT_EQ(open->text, "clients go on, read-only");
}

TEST(CutoverReadOnly, LeavesAccessAloneUnlessAsked) {
    fake_world fake;
    EXPECT_EQ(run_cutover(asked(replication_kind::logical), fake.world()).exit_code, 0);
    EXPECT_FALSE(fake.read_only);
}

TEST(CutoverReadOnly, IsNothingToTakeBackBeforeTheCommit) {
    fake_world fake;
    fake.failing["verify"] = 1;
    EXPECT_EQ(run_cutover(read_only_after(), fake.world()).exit_code, 1);
    EXPECT_FALSE(fake.read_only);
}

TEST(CutoverReadOnly, IsFoundInTheJournal) {
    const cutover_record begun{.kind = record_kind::begun, .id = "1", .from = "a", .to = "b"};
    cutover_record committed = begun;
    committed.kind = record_kind::committed;
    committed.generation = 2;
    committed.read_only = true;
    const std::vector<journal_record> records{
        {1, 0, "app", "route", {{"backend", "a"}, {"generation", 1}}},
        {2, 0, "app", journal_kind(begun.kind), encode_cutover(begun)},
        {3, 0, "app", journal_kind(committed.kind), encode_cutover(committed)}};
    EXPECT_EQ(replay(records)->at("app").read_only.state, read_only_state::on);
    EXPECT_EQ(replay(std::span(records).first(2))->at("app").read_only.state, read_only_state::off);
}

TEST(CutoverReadOnly, IsAKeyOfAPlan) {
    const service_config service;
    const auto good = parse_plan("access_after: read-only\n", service);
    ASSERT_TRUE(good.value);
    EXPECT_EQ(good.value->service.cutover.access_after, later_access::read_only);
    EXPECT_FALSE(parse_plan("access_after: maybe\n", service).value);
}

TEST(FirstStart, CanBeReadOnly) {
    const std::vector<journal_record> records{
        {1, 0, "app", "route", {{"backend", "a"}, {"generation", 1}, {"access", "read-only"}}}};
    EXPECT_EQ(
        replay(records)->at("app").read_only, (read_only_record{.state = read_only_state::on})
    );
    const auto kept = compact(records, 0);
    EXPECT_EQ(replay(*kept)->at("app").read_only.state, read_only_state::on);
}

}  // namespace
}  // namespace pgsluice::control
