// The fence that a plan chooses, from the journal's point of view.
#include "control/config/cutover_plan_file.hpp"
#include "control/records/cutover_json.hpp"
#include "tests/unit/control/config/config_files.hpp"
#include "tests/unit/control/cutover/fake_world.hpp"

namespace pgsluice::control {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr fence_method methods[] = {
    fence_method::default_read_only,
    fence_method::lock_tables,
    fence_method::revoke_connect,
    fence_method::command};

fence_memory memory_of(fence_method method) {
    fence_memory memory{.auto_conf = "off", .method = method};
    if (method == fence_method::revoke_connect) {
        memory.connect = {{"app", {"PUBLIC", "\"o\"\"dd\" WITH GRANT OPTION"}}, {"b", {"x"}}};
    }
    if (method == fence_method::command) {
        memory.raise_command = "up 'it'";
        memory.lower_command = "down";
    }
    return memory;
}

TEST(FenceMemory, ReadsBackAsWritten) {
    for (const fence_method method : methods) {
        EXPECT_EQ(decode_fence(encode_fence(memory_of(method))), memory_of(method));
    }
    EXPECT_EQ(encode_fence({}).size(), 1U) << "as versions before wrote it";
}

TEST(FenceMethod, StandsInThePlanWithItsUndo) {
    std::vector<std::string> told;
    for (const fence_method method : methods) {
        cutover_request request = asked(replication_kind::none);
        request.fence = method;
        for (const planned_step& one : make_plan(request)) {
            if (one.name == "fence") {
                told.push_back(one.does + "; " + one.undo);
            }
        }
    }
    EXPECT_THAT(
        told,
        ElementsAre(
            HasSubstr("read-only"),
            HasSubstr("lock every table"),
            HasSubstr("revoke CONNECT"),
            HasSubstr("run unfence_command")
        )
    );
}

TEST(FenceMethod, OfAnEarlierCutoverIsLiftedAndPutBackAsTheJournalHasIt) {
    fake_world fake;
    cutover_request back = asked(replication_kind::logical);
    back.to_fence = fence_memory{.auto_conf = "false", .method = fence_method::revoke_connect};
    fake.failing["verify"] = 1;
    expect_as_before(fake, run_cutover(back, fake.world()));
    EXPECT_THAT(fake.calls, testing::Contains("lift")) << "no setting tells of it";
    EXPECT_THAT(fake.calls, testing::Contains("undo_lift"));
    EXPECT_FALSE(fake.lifted);
    EXPECT_EQ(fake.records.front().to_fence, back.to_fence);
}

TEST(FenceMethod, ACommandNeedsAWayUpAndAWayDown) {
    const std::string lines = "    cutover: {fence: command, fence_command: \"true\"}\n";
    const auto read = parse_config(std::string(smallest) + lines);
    ASSERT_EQ(read.errors.size(), 1U);
    EXPECT_THAT(read.errors[0].text, HasSubstr("expected fence_command and unfence_command"));
    service_config service;
    service.name = "app";
    EXPECT_EQ(parse_plan("fence: command\n", service).errors.size(), 1U);
    const auto good =
        parse_plan("fence: command\nfence_command: up\nunfence_command: down\n", service);
    EXPECT_TRUE(good.value.has_value());
}

}  // namespace
}  // namespace pgsluice::control
