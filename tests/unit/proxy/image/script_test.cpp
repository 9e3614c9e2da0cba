#include "proxy/image/script.hpp"
#include "tests/unit/proxy/image/backend_answers.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

namespace pgsluice::proxy {
namespace {

using namespace std::literals;
using testing::ElementsAre;
using testing::IsEmpty;
using reply = script_reader::reply;

script_step named(std::string label, script_item item = script_item::question) {
    script_step step;
    step.item = item;
    step.label = std::move(label);
    return step;
}

/// Two groups: parse a, run a, run b | describe.
script two_groups() {
    script_builder out;
    out.parse(named("parse a"), "a", "SELECT 1");
    out.run(named("run a"), "a");
    out.run(named("run b"), "b");
    out.sync();
    out.describe_statement(named("describe"), "");
    out.sync();
    return out.take();
}

TEST(ScriptBuilder, WritesTheMessagesOfTheManual) {
    script_builder out;
    const std::array<std::uint32_t, 1> types{23};
    const std::array<std::string_view, 2> parameters{"x", ""};
    out.parse(named(""), "s", "Q", types);
    out.run(named(""), "s", parameters, true);
    out.describe_statement(named(""), "");
    out.close_statement("s");
    out.sync();
    out.query(named(""), "Q");
    const auto built = out.take();
    EXPECT_EQ(
        built.bytes,
        "P\0\0\0\x0es\0Q\0\0\x01\0\0\0\x17"
        "B\0\0\0\x18\0s\0\0\0\0\x02\0\0\0\x01x\0\0\0\0\0\x01\0\x01"
        "E\0\0\0\x09\0\0\0\0\0"
        "D\0\0\0\x06S\0"
        "C\0\0\0\x07Ss\0"
        "S\0\0\0\x04"
        "Q\0\0\0\x06Q\0"s
    );
    EXPECT_EQ(built.ready_expected, 2U);
    EXPECT_EQ(built.steps.size(), 5U);
    EXPECT_EQ(built.steps[4].sync_group, 1U);
}

TEST(ScriptReader, CollectsRowsOfQuestionsAndEndsWithTheLastReady) {
    const auto what = two_groups();
    script_reader reader(what);
    const auto all = good_answers(what, {"1", "2"});
    for (std::size_t i = 0; i < all.size(); ++i)
        EXPECT_EQ(
            reader.on_message(all[i].type, protocol::as_bytes(all[i].body)),
            i + 1 == all.size() ? reply::done : reply::mine
        );
    const auto outcome = reader.take();
    EXPECT_THAT(outcome.errors, IsEmpty());
    ASSERT_EQ(outcome.rows.size(), 2U);
    EXPECT_EQ(outcome.rows[1].columns[0], "2");
    EXPECT_EQ(outcome.ready_seen, 2U);
    EXPECT_FALSE(outcome.needs_rollback());
}

TEST(ScriptReader, ErrorSkipsTheRestOfItsGroupOnly) {
    const auto outcome = outcome_of(
        two_groups(),
        {parse_complete(), error("42P01"), ready('E'), {'t', "\0\0"s}, {'n', {}}, ready('I')}
    );
    ASSERT_EQ(outcome.errors.size(), 1U);
    EXPECT_EQ(outcome.errors[0].step.label, "run a");
    EXPECT_EQ(outcome.errors[0].what.sqlstate, "42P01");
    EXPECT_EQ(outcome.errors[0].what.message, "went wrong");
    EXPECT_NE(outcome.error_in(0), nullptr);
    EXPECT_EQ(outcome.error_in(1), nullptr);
    EXPECT_EQ(outcome.transaction_status, 'I');
}

TEST(ScriptReader, ErrorAtTheSyncBelongsToTheCommit) {
    const auto outcome = outcome_of(
        two_groups(),
        {parse_complete(),
         bind_complete(),
         command_complete(),
         bind_complete(),
         command_complete(),
         error("40001"),
         ready(),
         error("26000"),
         ready()}
    );
    ASSERT_EQ(outcome.errors.size(), 2U);
    EXPECT_EQ(outcome.errors[0].step.label, "COMMIT");
    EXPECT_EQ(outcome.errors[1].step.label, "describe");
}

TEST(ScriptReader, RowThatMustBeTrueFailsAndThePipelineRunsOn) {
    script_builder out;
    auto lock = named("lock 1", script_item::advisory_lock);
    lock.needs_true = true;
    out.run(lock, "a");
    out.run(named("after"), "b");
    out.sync();
    const auto outcome = outcome_of(
        out.take(),
        {bind_complete(),
         data_row({"f"}),
         command_complete(),
         bind_complete(),
         data_row({"x"}),
         command_complete(),
         ready()}
    );
    ASSERT_EQ(outcome.errors.size(), 1U);
    EXPECT_EQ(outcome.errors[0].what.sqlstate, "55P03");
    EXPECT_EQ(outcome.errors[0].step.label, "lock 1");
    EXPECT_FALSE(outcome.errors[0].is_fatal);
    EXPECT_EQ(outcome.rows.size(), 1U);
}

TEST(ScriptReader, HandsBackWhatTheScriptDidNotCause) {
    const auto what = two_groups();
    script_reader reader(what);
    const auto on = [&](const answer& a) {
        return reader.on_message(a.type, protocol::as_bytes(a.body));
    };
    EXPECT_EQ(on({'S', "a\0b\0"s}), reply::not_mine);
    EXPECT_EQ(
        on({'A',
            "\0\0\0\x01"
            "a\0b\0"s}),
        reply::not_mine
    );
    EXPECT_EQ(on(error("01000", "WARNING", 'N')), reply::not_mine);
    EXPECT_EQ(on(error("00000", "DEBUG1", 'N')), reply::mine);
    EXPECT_EQ(on(error("00000", "LOG", 'N')), reply::mine);
    EXPECT_EQ(on(parse_complete()), reply::mine);
}

TEST(ScriptReader, FatalErrorEndsIt) {
    const auto outcome = outcome_of(two_groups(), {error("57P01", "FATAL")});
    ASSERT_EQ(outcome.errors.size(), 1U);
    EXPECT_TRUE(outcome.errors[0].is_fatal);
    EXPECT_TRUE(outcome.needs_rollback());
}

TEST(ScriptReader, MessagesOutOfStepAreFatal) {
    const answers wrong[] = {
        {command_complete()},
        {close_complete()},
        {{'n', {}}},
        {ready()},
        {{'d', "copy"}},
        {{'s', {}}},
        {parse_complete(), bind_complete(), {'D', "\0\x01\0\0\0\x09x"s}},
        {parse_complete(), bind_complete(), {'D', "\0"s}},
        {parse_complete(), error("42P01"), bind_complete(), command_complete()},
        {{'E', "no zero"}},
        {parse_complete(), error("42P01"), {'Z', ""}},
    };
    for (const auto& messages : wrong) {
        const auto outcome = outcome_of(two_groups(), messages);
        ASSERT_EQ(outcome.errors.size(), 1U);
        EXPECT_TRUE(outcome.errors[0].is_fatal);
    }
}

TEST(ScriptReader, EveryCutOffConversationStaysSafe) {
    const auto what = two_groups();
    const auto all = good_answers(what, {"1", "2"});
    for (std::size_t cut = 0; cut < all.size(); ++cut) {
        const auto outcome = outcome_of(what, {all.begin(), all.begin() + static_cast<long>(cut)});
        EXPECT_THAT(outcome.errors, IsEmpty());
        EXPECT_LT(outcome.ready_seen, 2U);
    }
}

}  // namespace
}  // namespace pgsluice::proxy
