// A session's state from one real server to another: capture, judge, replay, capture, compare.
// Skipped unless PGSLUICE_TEST_PG_PORT names a server at 127.0.0.1 that trusts `postgres`;
// PGSLUICE_TEST_PG_PORT_NEW may name a second one, otherwise two databases of the first are used.
#include "proxy/image/capture.hpp"
#include "proxy/image/image_compare.hpp"
#include "proxy/image/lock_counts.hpp"
#include "proxy/image/movability.hpp"
#include "proxy/image/replay.hpp"
#include "tests/unit/proxy/image/image_on_server.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>

namespace pgsluice::proxy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

using ImageOnServer = image_on_server;

const std::vector<std::string> custom_names{
    "app.quote", "app.empty", "app.unset", "app.local", "plpgsql.check_asserts", "app.started"};

const server_leg::parameters client_startup{
    {"application_name", "it's \"odd\""},
    {"options", "-c app.started=yes -c work_mem=5MB"},
    {"DateStyle", "German, YMD"},
};

void make_rich(server_leg& leg) {
    leg.query("SET search_path = \"odd, schema\", \"$user\", public");
    leg.query("SET TimeZone = '<-08:30>+08:30'");
    leg.query("SET bytea_output = escape");
    leg.query("SET statement_timeout = '90s'");
    leg.query("SET vacuum_cost_delay = 1.5");
    leg.query("SET default_transaction_isolation = serializable");
    leg.query("SET default_transaction_deferrable = on; SET default_transaction_read_only = on");
    leg.query("SET IntervalStyle = sql_standard; SET client_min_messages = notice");
    leg.query("SET \"App\".quote = E'it''s \"x\" \\\\ \u00e9'; SET app.empty = ''");
    leg.query("BEGIN; SET LOCAL app.local = 1; COMMIT");
    leg.query("PREPARE \"odd; \"\"name\" (\"odd, schema\".mood, positive) AS SELECT $1, $2");
    leg.query("SELECT 1; PREPARE pm (int) AS /* ; */ SELECT ';', $1; SELECT 2");
    leg.query("DO $$ BEGIN EXECUTE 'PREPARE inner_one AS SELECT 3'; END $$");
    std::string messages;
    protocol::encode_parse(messages, "plain", "  -- x\nSELECT $1::int + 1 ;");
    protocol::encode_parse(messages, "mood", "SELECT $1::mood");
    protocol::encode_parse(messages, "positive", "SELECT $1 + $2::positive");
    protocol::encode_parse(messages, "bsl", "SELECT E'\\'' || 'é'");
    protocol::encode_sync(messages);
    leg.exchange(messages);
    leg.query("LISTEN \"odd \"\"channel\"; LISTEN plain");
    leg.query("SELECT pg_advisory_lock(-5), pg_advisory_lock(5000000000), pg_advisory_lock(-1, 7)");
    leg.query("SELECT pg_advisory_lock_shared(9), pg_advisory_lock_shared(0, -2)");
    leg.query("SET client_encoding = LATIN1");
    leg.query("SET ROLE \"Odd 'role\"");
}

TEST_F(ImageOnServer, MovesEverythingThatASessionCarries) {
    auto old_leg = connect(from, "image_user", client_startup);
    make_rich(old_leg);
    const auto image = capture(old_leg, {.custom_names = custom_names});
    EXPECT_EQ(image.role, "Odd 'role");
    EXPECT_EQ(image.statements.size(), 7U);
    EXPECT_EQ(image.locks.size(), 5U);
    EXPECT_EQ(image.client_encoding, "LATIN1");
    EXPECT_THAT(
        image.custom_settings,
        ElementsAre(
            custom_setting{"app.empty", ""},
            custom_setting{"app.local", ""},
            custom_setting{"app.quote", "it's \"x\" \\ \u00e9"},
            custom_setting{"app.started", "yes"}
        )
    );
    ASSERT_THAT(judge(image, {}).pins, IsEmpty());

    auto new_leg = connect(to, "image_user", client_startup);
    const auto types = map_types(image, new_leg);
    const auto plan = plan_replay(
        image, {.login_user = "image_user", .server_version_num = 140000, .types = &types}
    );
    ASSERT_TRUE(plan) << plan.error().message;
    EXPECT_TRUE(plan->after_promotion.empty());
    expect_replayed(plan->before_promotion, new_leg);
    expect_same(image, new_leg);

    old_leg.query("RESET ALL");
    new_leg.query("RESET ALL");
    EXPECT_THAT(
        same_state(
            capture(old_leg, {.custom_names = custom_names}),
            capture(new_leg, {.custom_names = custom_names})
        )
            .differences,
        IsEmpty()
    );
    EXPECT_EQ(new_leg.ask("SHOW work_mem"), "5MB");
    EXPECT_EQ(new_leg.ask("SHOW client_encoding"), "UTF8");
}

TEST_F(ImageOnServer, MovesSuperusersWithSessionAuthorizationAndOldStrings) {
    auto old_leg = connect(from, "postgres");
    old_leg.query("SET log_min_messages = debug1");
    old_leg.query("SET SESSION AUTHORIZATION image_user");
    old_leg.query("SET standard_conforming_strings = off");
    const auto image = capture(old_leg);
    EXPECT_FALSE(image.has_standard_strings);
    auto new_leg = connect(to, "postgres");
    const auto plan = plan_replay(image, {.login_user = "postgres"});
    expect_replayed(plan->before_promotion, new_leg);
    expect_same(image, new_leg);
    EXPECT_EQ(new_leg.ask("SELECT current_user"), "image_user");
}

/// Bind and Execute of the unnamed statement.
std::string run_unnamed(std::optional<std::string_view> parameter) {
    std::string messages;
    protocol::encode_bind(
        messages, {.parameters = {&parameter, parameter ? std::size_t{1} : std::size_t{0}}}
    );
    protocol::encode_execute(messages, "");
    protocol::encode_sync(messages);
    return messages;
}

TEST_F(ImageOnServer, CaptureKeepsTheUnnamedStatementAndReplayRecreatesIt) {
    auto old_leg = connect(from, "image_user");
    EXPECT_EQ(capture(old_leg).has_unnamed_statement, false);
    const std::uint32_t mood = static_cast<std::uint32_t>(
        std::stoul(old_leg.ask("SELECT '\"odd, schema\".mood'::regtype::oid"))
    );
    std::string parse;
    protocol::encode_parse(parse, "", "SELECT $1", {{mood}});
    std::string messages = parse;
    protocol::encode_sync(messages);
    old_leg.exchange(messages);
    old_leg.run(capture_request({.is_prepared = true}));
    const auto body = protocol::as_bytes(parse).subspan(5);
    const auto oids = unstable_types(body);
    EXPECT_THAT(oids, ElementsAre(mood));
    const auto image = capture(old_leg, {.type_oids = oids, .is_prepared = true});
    EXPECT_EQ(image.has_unnamed_statement, true);
    EXPECT_THAT(old_leg.exchange(run_unnamed("sad")), ElementsAre("sad"));

    auto new_leg = connect(to, "image_user");
    const auto types = map_types(image, new_leg);
    EXPECT_NE(types.at(mood), mood);
    const auto plan =
        plan_replay(image, {.login_user = "image_user", .types = &types, .unnamed_parse = body});
    expect_replayed(plan->before_promotion, new_leg);
    EXPECT_EQ(capture(new_leg).has_unnamed_statement, true);
    EXPECT_THAT(new_leg.exchange(run_unnamed("ok")), ElementsAre("ok"));
}

TEST_F(ImageOnServer, CaptureNoticesThatTheClientDroppedThePrivateStatements) {
    auto leg = connect(from, "image_user");
    capture(leg);
    EXPECT_TRUE(captured_image(leg.run(capture_request({.is_prepared = true}))));
    leg.query("DISCARD ALL");
    const auto outcome = leg.run(capture_request({.is_prepared = true}));
    EXPECT_TRUE(capture_needs_parse(outcome));
    EXPECT_FALSE(outcome.needs_rollback());
    capture(leg);
    leg.query("DEALLOCATE \"pgsluice.state\"");
    const auto half = leg.run(capture_request({.is_prepared = true}));
    EXPECT_TRUE(capture_needs_parse(half));
    ASSERT_TRUE(half.needs_rollback());
    EXPECT_FALSE(leg.run(rollback_request()).needs_rollback());
    EXPECT_THAT(capture(leg).statements, IsEmpty());
    leg.run(close_request());
    EXPECT_EQ(leg.ask("SELECT count(*) FROM pg_prepared_statements"), "0");
}

TEST_F(ImageOnServer, CaptureTellsWhetherLastvalIsDefinedAndLeavesNoTrace) {
    auto leg = connect(from, "image_user");
    const auto is_defined = [&] {
        const auto image =
            captured_image(leg.run(capture_request({.asks_unnamed = false, .asks_currval = true})));
        return image.value().is_currval_defined;
    };
    leg.query("SET client_min_messages = error; SET search_path = ''");
    leg.query("CREATE SEQUENCE pg_temp.s");
    EXPECT_FALSE(is_defined());
    EXPECT_EQ(leg.ask("SELECT nextval('pg_temp.s')"), "1");
    EXPECT_TRUE(is_defined());
    EXPECT_EQ(leg.ask("SELECT lastval()"), "1");
    EXPECT_FALSE(capture(leg).is_currval_defined) << "nobody asked";
    leg.query("DISCARD SEQUENCES");
    EXPECT_FALSE(is_defined());
}

TEST_F(ImageOnServer, CaptureGetsPastAStatementTimeout) {
    auto leg = connect(from, "image_user");
    leg.query("SET statement_timeout = 1");
    const auto image = capture(leg, {.lifts_timeout = true});
    EXPECT_EQ(image.settings.back().name, "statement_timeout");
    EXPECT_EQ(image.settings.back().value, "1");
    EXPECT_EQ(leg.ask("SHOW statement_timeout"), "1ms");
    auto new_leg = connect(to, "image_user");
    const auto plan = plan_replay(image, {.login_user = "image_user"});
    expect_replayed(plan->before_promotion, new_leg);
    EXPECT_EQ(new_leg.ask("SHOW statement_timeout"), "1ms");
    const auto now = capture(new_leg, {.lifts_timeout = true});
    EXPECT_THAT(same_state(image, now).differences, IsEmpty());
}

TEST_F(ImageOnServer, CaptureAndReplayDoNotWaitForASafeSnapshot) {
    auto writer = connect(to, "image_user");
    writer.query("BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT * FROM t; INSERT INTO t VALUES (1)");
    auto leg = connect(to, "image_user");
    leg.query("SET lock_timeout = 50; SET default_transaction_isolation = serializable");
    leg.query("SET default_transaction_read_only = on; SET default_transaction_deferrable = on");
    std::string parse;
    protocol::encode_parse(parse, "", "SELECT 1");
    const auto image = capture(leg);
    auto other = connect(to, "image_user");
    const auto plan = plan_replay(
        image, {.login_user = "image_user", .unnamed_parse = protocol::as_bytes(parse).subspan(5)}
    );
    expect_replayed(plan->before_promotion, other);
    expect_same(image, other);
    expect_replayed(reset_request(), other);
    EXPECT_EQ(other.ask("SHOW default_transaction_isolation"), "read committed");
    writer.query("ROLLBACK");
}

TEST_F(ImageOnServer, KeepsBytesOfADatabaseThatIsNotUtf8) {
    const server_leg::parameters utf8{{"client_encoding", "UTF8"}};
    const side latin_from{from.port, from.database + "_latin1"};
    const side latin_to{to.port, to.database + "_latin1"};
    for (const side& where : {latin_from, latin_to}) {
        auto admin = connect({where.port, "postgres"}, "postgres");
        admin.query("DROP DATABASE IF EXISTS " + where.database);
        admin.query(
            "CREATE DATABASE " + where.database +
            " TEMPLATE template0 ENCODING LATIN1 LC_COLLATE 'C' LC_CTYPE 'C'"
        );
        connect(where, "postgres", utf8).query("CREATE DOMAIN \"typ\u00e9\" AS text");
    }
    auto old_leg = connect(latin_from, "image_user", utf8);
    old_leg.query("SET app.quote = '\u00e9\\'; LISTEN \"caf\u00e9\"");
    old_leg.query("PREPARE \"\u00e9\" (\"typ\u00e9\") AS SELECT '\u00e9', $1");
    const auto image = capture(old_leg, {.custom_names = custom_names});
    EXPECT_EQ(image.database_encoding, "LATIN1");
    EXPECT_EQ(image.channels.front(), "caf\xe9");
    auto new_leg = connect(latin_to, "image_user", utf8);
    const auto types = map_types(image, new_leg);
    const auto plan = plan_replay(image, {.login_user = "image_user", .types = &types});
    expect_replayed(plan->before_promotion, new_leg);
    expect_same(image, new_leg);
    EXPECT_EQ(new_leg.ask("EXECUTE \"\u00e9\"('x')"), "\u00e9");
}

TEST_F(ImageOnServer, PinsWhatCannotBeRecreated) {
    auto leg = connect(from, "image_user");
    leg.query("BEGIN; DECLARE \"c 1\" CURSOR WITH HOLD FOR SELECT 1; COMMIT");
    leg.query("CREATE TEMP SEQUENCE mine");
    const auto pins = judge(capture(leg), {}).pins;
    ASSERT_EQ(pins.size(), 2U);
    EXPECT_EQ(pins[0].code, pin_code::temp);
    EXPECT_EQ(pins[1].code, pin_code::hold_cursor);
    leg.query("CLOSE ALL; DROP SEQUENCE mine");
    EXPECT_TRUE(judge(capture(leg), {}).is_movable());
}

TEST_F(ImageOnServer, ReplayNamesTheItemThatTheNewServerRefuses) {
    auto old_leg = connect(from, "image_user");
    old_leg.query("SELECT pg_advisory_lock(77); SET app.x = 1; PREPARE p AS SELECT * FROM t");
    auto image = capture(old_leg, {.custom_names = custom_names});
    auto holder = connect(to, "postgres");
    holder.query("SELECT pg_advisory_lock(77)");
    const auto refused = [&](const session_image& changed) {
        auto new_leg = connect(to, "image_user");
        const auto plan = plan_replay(changed, {.login_user = "image_user"});
        const auto outcome = new_leg.run(plan->before_promotion);
        return outcome.errors.empty() ? pin{} : pin_of(outcome.errors.front());
    };
    auto lock = refused(image);
    EXPECT_EQ(lock.code, pin_code::advisory_lock);
    EXPECT_THAT(lock.text, HasSubstr("(77)"));

    image.locks.clear();
    holder.query("ALTER TABLE t RENAME TO hidden");
    EXPECT_EQ(refused(image).code, pin_code::sql_prepared);
    holder.query("ALTER TABLE hidden RENAME TO t");

    image.settings.push_back({"no_such_setting", "1", "session", "", "user"});
    EXPECT_THAT(refused(image).text, HasSubstr("no_such_setting"));
    image.settings.back().name = "log_statement";
    image.settings.back().value = "all";
    EXPECT_EQ(refused(image).code, pin_code::guc);
    image.settings.clear();
    image.role = "pg_monitor";
    EXPECT_EQ(refused(image).code, pin_code::role);
}

TEST_F(ImageOnServer, ListensAfterPromotionWhenTheNewServerIsAStandby) {
    auto old_leg = connect(from, "image_user");
    old_leg.query("LISTEN \"caf\u00e9\"; SET client_encoding = LATIN1");
    const auto image = capture(old_leg);
    auto new_leg = connect(to, "image_user");
    const auto plan = plan_replay(image, {.login_user = "image_user", .in_recovery = true});
    expect_replayed(plan->before_promotion, new_leg);
    const auto before = capture(new_leg);
    EXPECT_FALSE(same_state(image, before).is_same());
    EXPECT_TRUE(same_state(image, before, {.ignores_channels = true}).is_same());
    expect_replayed(plan->after_promotion, new_leg);
    expect_same(image, new_leg);
}

TEST_F(ImageOnServer, AddsOnlyWhatIsNewAndStartsOverWhenSomethingWentAway) {
    auto old_leg = connect(from, "image_user");
    old_leg.query("SET work_mem = '1MB'; PREPARE a AS SELECT 1; LISTEN one; SET app.quote = 1");
    const auto first = capture(old_leg, {.custom_names = custom_names});
    auto new_leg = connect(to, "image_user");
    const replay_target target{.login_user = "image_user"};
    expect_replayed(plan_replay(first, target)->before_promotion, new_leg);
    capture(new_leg);

    old_leg.query("SET work_mem = '2MB'; PREPARE b AS SELECT 2; LISTEN two; SET app.empty = ''");
    old_leg.query("SET client_encoding = LATIN1; SELECT pg_advisory_lock(31)");
    old_leg.query("SET ROLE \"Odd 'role\"");
    const auto second = capture(old_leg, {.custom_names = custom_names, .is_prepared = true});
    const auto delta = plan_delta(first, second, target);
    ASSERT_TRUE(delta);
    EXPECT_LT(
        delta->before_promotion.steps.size(),
        plan_replay(second, target)->before_promotion.steps.size()
    );
    expect_replayed(delta->before_promotion, new_leg);
    // What a capture left prepared is still there.
    const auto names = capture_names(second);
    const auto copy = capture(new_leg, {.custom_names = names, .is_prepared = true});
    EXPECT_TRUE(same_state(second, copy).is_same());

    old_leg.query("DEALLOCATE a");
    const auto third = capture(old_leg, {.custom_names = custom_names, .is_prepared = true});
    EXPECT_FALSE(plan_delta(second, third, target));
    expect_replayed(reset_request(), new_leg);
    expect_replayed(plan_replay(third, target)->before_promotion, new_leg);
    expect_same(third, new_leg);
}

TEST_F(ImageOnServer, CountsAdvisoryLocksAndTakesThemAsOften) {
    auto old_leg = connect(from, "image_user");
    old_leg.query("SET client_min_messages = debug1");
    old_leg.query("SELECT pg_advisory_lock(41) FROM generate_series(1, 3)");
    old_leg.query("SELECT pg_advisory_lock_shared(-4, 2), pg_advisory_lock(-4, 2)");
    const auto image = capture(old_leg);
    ASSERT_EQ(image.locks.size(), 3U);
    old_leg.passed_on.clear();
    const auto counts = counted_locks(image.locks, old_leg.run(count_locks_request(image.locks)));
    ASSERT_TRUE(counts) << counts.error().message;
    EXPECT_THAT(*counts, ElementsAre(3, 1, 1));
    EXPECT_THAT(old_leg.passed_on, IsEmpty());
    EXPECT_THAT(capture(old_leg).locks, IsEmpty());
    const auto gone = counted_locks(image.locks, old_leg.run(count_locks_request(image.locks)));
    EXPECT_FALSE(gone);

    expect_replayed(take_locks_request(image.locks, *counts), old_leg);
    EXPECT_EQ(capture(old_leg).locks, image.locks);
    EXPECT_THAT(
        old_leg.query("SELECT pg_advisory_unlock(41) FROM generate_series(1, 4)"),
        ElementsAre("t", "t", "t", "f")
    );
}

TEST_F(ImageOnServer, PassesOnWhatDoesNotBelongToTheScript) {
    auto leg = connect(from, "image_user");
    leg.query("LISTEN here");
    auto other = connect(from, "image_user");
    capture(leg);
    leg.passed_on.clear();
    // The backend learns of it while it is idle and tells at the next occasion.
    other.query("NOTIFY here, 'x'");
    leg.run(capture_request({.is_prepared = true}));
    while (leg.passed_on.empty())
        leg.run(capture_request({.is_prepared = true}));
    EXPECT_THAT(leg.passed_on, ElementsAre('A'));
}

TEST_F(ImageOnServer, HostileSearchPathDoesNotDisturb) {
    auto admin = connect(from, "postgres");
    admin.query("CREATE SCHEMA IF NOT EXISTS hostile; GRANT USAGE ON SCHEMA hostile TO PUBLIC");
    admin.query("CREATE OR REPLACE FUNCTION hostile.current_setting(text) RETURNS text"
                " LANGUAGE sql AS $$ SELECT 'hijacked' $$");
    admin.query("CREATE OR REPLACE FUNCTION hostile.same(text, text) RETURNS bool"
                " LANGUAGE sql AS $$ SELECT false $$");
    admin.query("DROP OPERATOR IF EXISTS hostile.= (text, text)");
    admin.query("CREATE OPERATOR hostile.= (FUNCTION = hostile.same, LEFTARG = text,"
                " RIGHTARG = text)");
    auto leg = connect(from, "image_user", client_startup);
    make_rich(leg);
    const auto image = capture(leg, {.custom_names = custom_names});
    leg.query("SET search_path = hostile, pg_catalog, public");
    auto hijacked = capture(leg, {.custom_names = custom_names});
    const auto compared = same_state(image, hijacked);
    EXPECT_THAT(compared.differences, ElementsAre(HasSubstr("search_path")));
}

TEST_F(ImageOnServer, OddClientSettingsDoNotDisturbTheCapture) {
    auto leg = connect(from, "postgres");
    const auto plain = capture(leg);
    for (const char* text : {
             "SET array_nulls = off",
             "SET plan_cache_mode = force_custom_plan",
             "SET row_security = off",
             "SET quote_all_identifiers = on",
             "SET client_min_messages = debug5",
             "SET xmloption = document",
             "SET jit_above_cost = 0",
             "SET max_parallel_workers_per_gather = 8; SET parallel_setup_cost = 0",
             "SET transform_null_equals = on",
             "SET default_transaction_read_only = on",
             "SET lc_messages = 'C'",
         }) {
        leg.query("RESET ALL");
        leg.query(text);
        const auto image = capture(leg);
        EXPECT_THAT(same_state(plain, image).differences, testing::Not(IsEmpty())) << text;
        EXPECT_THAT(judge(image, {}).pins, IsEmpty());
    }
}

}  // namespace
}  // namespace pgsluice::proxy
