#include "proxy/image/lock_counts.hpp"
#include "proxy/image/replay.hpp"
#include "tests/unit/proxy/image/backend_answers.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

namespace pgsluice::proxy {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

session_image rich() {
    session_image image;
    image.server_version_num = 150000;
    image.database_encoding = "UTF8";
    image.client_encoding = "LATIN1";
    image.session_user = "su";
    image.current_user = "r";
    image.role = "r";
    image.settings = {
        {"application_name", "psql", "client", "psql", "user"},
        {"client_encoding", "LATIN1", "session", "UTF8", "user"},
        {"statement_timeout", "1", "session", "0", "user"},
        {"work_mem", "1", "session", "4", "user"}};
    image.custom_settings = {{"app.x", "a'b"}};
    image.statements = {
        {"p", true, "SELECT 1; PREPARE p AS SELECT 2", {}}, {"s", false, "SELECT $1", {16500}}};
    image.types = {{16500, "public", "mood"}};
    image.channels = {"a\"b"};
    image.locks = {{false, "5", false}, {true, "-1,7", true}};
    return image;
}

const std::vector<user_type> old_types{{16500, "public", "mood"}};
const std::vector<user_type> new_types{{17000, "public", "mood"}};
const oid_map types(old_types, new_types);

const std::string unnamed_body = std::string("\0SELECT $1\0\0\x01\0\0\x40\x74", 17);

replay_target target() {
    return {
        .login_user = "u",
        .server_version_num = 170000,
        .types = &types,
        .unnamed_parse = protocol::as_bytes(unnamed_body)};
}

/// Labels of what a replay re-creates.
std::vector<std::string> items(const script& of) {
    std::vector<std::string> all;
    for (const auto& step : of.steps) {
        if (step.item != script_item::protocol)
            all.push_back(step.label);
    }
    const auto repeated = std::ranges::unique(all);
    all.erase(repeated.begin(), repeated.end());
    return all;
}

TEST(Replay, AnImageMayBelongToAnotherLogin) {
    session_image own;
    own.session_user = own.current_user = "alice";
    own.role = "none";
    const session_image other = with_login(own, "alice", "reader");
    EXPECT_EQ(other.session_user, "reader");
    EXPECT_EQ(other.current_user, "reader");
    EXPECT_EQ(with_login(other, "reader", "alice"), own);
    EXPECT_EQ(with_login(own, "bob", "reader"), own);
    const session_image in_role = with_login(rich(), "su", "reader");
    EXPECT_EQ(in_role.session_user, "reader");
    EXPECT_EQ(in_role.current_user, "r");
}

TEST(PlanReplay, GoesInTheOrderOfTheFacts) {
    const auto plan = plan_replay(rich(), target());
    ASSERT_TRUE(plan);
    EXPECT_THAT(
        items(plan->before_promotion),
        ElementsAre(
            "advisory lock (5)",
            "advisory lock (-1,7, shared)",
            "SET statement_timeout",
            "SET work_mem",
            "SET app.x",
            "SET client_encoding",
            "SET session_authorization",
            "SET role",
            "LISTEN \"a\"\"b\"",
            "PREPARE p",
            "Parse \"s\"",
            "the unnamed statement"
        )
    );
    EXPECT_TRUE(plan->after_promotion.empty());
    EXPECT_EQ(plan->before_promotion.ready_expected, 1U);
    EXPECT_EQ(labels(plan->before_promotion).front(), "BEGIN");
    EXPECT_EQ(labels(plan->before_promotion).back(), "COMMIT");
    EXPECT_THAT(plan->before_promotion.bytes, Not(HasSubstr("SELECT 1;")));
    EXPECT_THAT(plan->before_promotion.bytes, HasSubstr(std::string("\0\0\x42\x68", 4)));
    EXPECT_THAT(plan->before_promotion.bytes, Not(HasSubstr(std::string("\0\0\x40\x74", 4))));
}

TEST(PlanReplay, StandbyGetsItsChannelsAfterThePromotion) {
    auto standby = target();
    standby.in_recovery = true;
    const auto plan = plan_replay(rich(), standby);
    EXPECT_THAT(items(plan->before_promotion), Not(Contains("LISTEN \"a\"\"b\"")));
    EXPECT_THAT(items(plan->after_promotion), ElementsAre("LISTEN \"a\"\"b\""));
    auto deaf = rich();
    deaf.channels.clear();
    EXPECT_TRUE(plan_replay(deaf, standby)->after_promotion.empty());
}

TEST(PlanReplay, LeavesOutWhatTheProxyHadSet) {
    const std::vector<std::string> skipped{"work_mem"};
    auto where = target();
    where.skipped_settings = skipped;
    EXPECT_THAT(items(plan_replay(rich(), where)->before_promotion), Not(Contains("SET work_mem")));
}

TEST(PlanReplay, LiftsTransactionTimeoutOnlyWhereItExists) {
    auto where = target();
    EXPECT_THAT(
        plan_replay(rich(), where)->before_promotion.bytes, HasSubstr("transaction_timeout")
    );
    where.server_version_num = 160000;
    const auto plan = plan_replay(rich(), where);
    EXPECT_THAT(labels(plan->before_promotion), Not(Contains("SET LOCAL transaction_timeout")));
}

TEST(PlanReplay, FailsForTypesThatTheNewServerLacks) {
    auto where = target();
    where.types = nullptr;
    auto plan = plan_replay(rich(), where);
    ASSERT_FALSE(plan);
    EXPECT_EQ(plan.error().sqlstate, "42704");
    auto image = rich();
    image.statements.clear();
    plan = plan_replay(image, where);
    ASSERT_FALSE(plan);
    EXPECT_THAT(plan.error().message, HasSubstr("unnamed"));
}

TEST(PlanReplay, FailsForAPrepareThatCannotBeCutOut) {
    auto image = rich();
    image.statements[0].name = "other";
    const auto plan = plan_replay(image, target());
    ASSERT_FALSE(plan);
    EXPECT_EQ(plan.error().sqlstate, "0A000");
}

TEST(PinOf, NamesTheItemOfEveryPossibleFailure) {
    const auto plan = plan_replay(rich(), target());
    const auto& what = plan->before_promotion;
    const auto all = good_answers(what);
    EXPECT_EQ(outcome_of(what, all).first_error(), nullptr);
    for (std::size_t i = 0; i + 1 < all.size(); ++i) {
        answers failing(all.begin(), all.begin() + static_cast<long>(i));
        failing.push_back(error("22023"));
        failing.push_back(ready('E'));
        const auto outcome = outcome_of(what, failing);
        ASSERT_NE(outcome.first_error(), nullptr);
        EXPECT_TRUE(outcome.needs_rollback());
        const auto why = pin_of(*outcome.first_error());
        EXPECT_THAT(why.text, HasSubstr("went wrong"));
        EXPECT_EQ(
            why.code == pin_code::protocol,
            outcome.first_error()->step.item == script_item::protocol
        );
    }
}

TEST(PlanDelta, SendsOnlyWhatIsNew) {
    const auto was = rich();
    auto is = rich();
    EXPECT_THAT(items(plan_delta(was, is, target())->before_promotion), Not(Contains("SET role")));
    is.settings[3].value = "2";
    is.settings.push_back({"jit", "off", "session", "on", "user"});
    is.custom_settings.push_back({"app.y", ""});
    is.channels.emplace_back("more");
    is.locks.push_back({false, "6", false});
    is.statements.push_back({"t", false, "SELECT 3", {}});
    const auto delta = plan_delta(was, is, target());
    ASSERT_TRUE(delta);
    EXPECT_THAT(
        items(delta->before_promotion),
        ElementsAre(
            "advisory lock (6)",
            "SET work_mem",
            "SET jit",
            "SET app.y",
            "SET client_encoding",
            "LISTEN \"more\"",
            "Parse \"t\"",
            "the unnamed statement"
        )
    );
    auto standby = target();
    standby.in_recovery = true;
    EXPECT_THAT(
        items(plan_delta(was, is, standby)->after_promotion),
        ElementsAre("LISTEN \"a\"\"b\"", "LISTEN \"more\"")
    );
}

TEST(PlanDelta, RefusesWhateverTakesSomethingAway) {
    const auto was = rich();
    const auto refused = [&](auto change) {
        auto is = rich();
        change(is);
        return !plan_delta(was, is, target());
    };
    EXPECT_FALSE(refused([](auto&) {}));
    EXPECT_TRUE(refused([](auto& i) { i.settings.pop_back(); }));
    EXPECT_TRUE(refused([](auto& i) { i.settings[3].source = "default"; }));
    EXPECT_TRUE(refused([](auto& i) { i.settings[1].source = "client"; }));
    EXPECT_TRUE(refused([](auto& i) { i.custom_settings.clear(); }));
    EXPECT_TRUE(refused([](auto& i) { i.statements.pop_back(); }));
    EXPECT_TRUE(refused([](auto& i) { i.statements[1].text = "SELECT 5"; }));
    EXPECT_TRUE(refused([](auto& i) { i.channels.clear(); }));
    EXPECT_TRUE(refused([](auto& i) { i.locks.clear(); }));
    EXPECT_TRUE(refused([](auto& i) { i.session_user = "v"; }));
    // The leg has taken the role already: privileges are not the login user's.
    EXPECT_TRUE(refused([](auto& i) {
        i.settings.push_back({"log_statement", "all", "session", "none", "superuser"});
    }));
}

TEST(ResetRequest, TouchesNothingButTheDefaultIsolationBeforeDiscardAll) {
    const auto what = reset_request();
    EXPECT_EQ(what.ready_expected, 2U);
    EXPECT_EQ(labels(what).back(), "DISCARD ALL");
    EXPECT_EQ(outcome_of(what, good_answers(what)).first_error(), nullptr);
}

TEST(LockCounts, CountsInTheOrderAsked) {
    const auto locks = rich().locks;
    const auto ask = count_locks_request(locks);
    const auto counts = counted_locks(locks, outcome_of(ask, good_answers(ask, {"3", "1"})));
    ASSERT_TRUE(counts);
    EXPECT_THAT(*counts, ElementsAre(3, 1));
    EXPECT_EQ(
        counted_locks(locks, outcome_of(ask, good_answers(ask, {"3", "0"}))).error().sqlstate,
        "55000"
    );
    EXPECT_FALSE(counted_locks(locks, outcome_of(ask, good_answers(ask, {"3"}))));
    EXPECT_FALSE(counted_locks(locks, outcome_of(ask, {error("42501"), ready()})));
}

TEST(LockCounts, TakesOnlyWhatIsMissing) {
    const auto locks = rich().locks;
    const auto take = take_locks_request(locks, std::array<std::uint32_t, 2>{0, 2});
    EXPECT_THAT(items(take), ElementsAre("advisory lock (-1,7, shared)"));
    EXPECT_THAT(items(take_locks_request(locks, std::array<std::uint32_t, 2>{0, 0})), IsEmpty());
    auto refused = good_answers(take);
    for (auto& message : refused) {
        if (message.type == 'D')
            message = data_row({"f"});
    }
    EXPECT_EQ(outcome_of(take, refused).first_error()->what.sqlstate, "55P03");
}

}  // namespace
}  // namespace pgsluice::proxy
