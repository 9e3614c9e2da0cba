// What a statement on the console means: the table of verbs, SHOW, SET and what is refused.
#include "control/console/verbs.hpp"
#include "control/console/words.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace pgsluice::control {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

const std::vector<named_service> only_app{{"app"}};
const std::vector<named_service> two{{"app", "app_db"}, {"shop"}};

console_plan plan(std::string_view statement, std::span<const named_service> of = only_app) {
    auto made = plan_statement(statement, of);
    EXPECT_TRUE(made.has_value()) << statement << ": "
                                  << (made.has_error() ? made.error().message : "");
    return made ? std::move(*made) : console_plan{};
}

std::string refusal(std::string_view statement, std::span<const named_service> of = only_app) {
    const auto made = plan_statement(statement, of);
    return made ? "accepted" : made.error().sqlstate + " " + made.error().message;
}

request request_of(std::string_view statement) {
    const console_plan made = plan(statement);
    const auto* const found = std::get_if<request>(&made.what);
    EXPECT_NE(found, nullptr) << statement;
    return found == nullptr ? request{} : *found;
}

TEST(ConsoleWords, AreSeparatedByBlanksCommasAndComments) {
    const auto words = console_words("admit 10.0.0.0/8=25%,\t'it''s' /* no */ \"A b\" -- end");
    ASSERT_TRUE(words.has_value());
    EXPECT_THAT(
        *words,
        ElementsAre(
            console_word{"admit"},
            console_word{"10.0.0.0/8=25%"},
            console_word{"it's", true},
            console_word{"A b", true}
        )
    );
    EXPECT_TRUE((*words)[0].is("admit"));
    EXPECT_FALSE((*words)[2].is("it's"));
    EXPECT_EQ(console_words("'x").error().sqlstate, "42601");
    EXPECT_EQ(console_words("/* x").error().sqlstate, "42601");
    EXPECT_THAT(*console_words(" -- x"), IsEmpty());
}

TEST(ConsolePlan, EveryVerbOfTheTableIsKnownOnceInLowerCase) {
    std::set<std::string_view> names;
    for (const console_verb& verb : console_verbs()) {
        EXPECT_TRUE(names.insert(verb.name).second) << verb.name;
        EXPECT_EQ(verb.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_"), verb.name.npos);
        EXPECT_EQ(verb.what == console_verb::kind::refused, !verb.why.empty()) << verb.name;
        EXPECT_EQ(verb.what == console_verb::kind::refused, verb.usage.empty()) << verb.name;
        if (!verb.usage.empty()) {
            EXPECT_THAT(console_help(), HasSubstr(std::string(verb.usage))) << verb.name;
        }
    }
}

TEST(ConsolePlan, VerbsOfPgBouncerBecomeCommands) {
    for (const char* statement : {"PAUSE", "pause app", "Pause \"app\"", "/* x */ PAUSE"}) {
        EXPECT_EQ(request_of(statement).what->id, command_id::pause) << statement;
        EXPECT_EQ(request_of(statement).service, "app");
        EXPECT_THAT(request_of(statement).arguments, IsEmpty());
    }
    EXPECT_EQ(request_of("RESUME app").what->id, command_id::resume);
    EXPECT_EQ(request_of("RELOAD").what->id, command_id::reload);
    EXPECT_EQ(request_of("RELOAD").service, "");
    EXPECT_EQ(request_of("SHUTDOWN").what->id, command_id::shutdown);
    EXPECT_THAT(
        request_of("SHUTDOWN WAIT_FOR_SERVERS").arguments, ElementsAre(Pair("drain", "true"))
    );
    EXPECT_EQ(request_of("KILL_CLIENT 17").what->id, command_id::kill);
    EXPECT_THAT(request_of("KILL_CLIENT 17").arguments, ElementsAre(Pair("SESSION", "17")));
    EXPECT_THAT(
        request_of("KILL app").arguments,
        ElementsAre(Pair("on-timeout", "terminate"), Pair("timeout", "0s"))
    );
    EXPECT_EQ(plan("WAIT_CLOSE app").tag, "WAIT_CLOSE");
    EXPECT_EQ(request_of("WAIT_CLOSE").what->id, command_id::wait_close);
    EXPECT_THAT(request_of("WAIT_CLOSE TIMEOUT 5s").arguments, ElementsAre(Pair("timeout", "5s")));
    EXPECT_EQ(request_of("RECONNECT app").what->id, command_id::reconnect);
    EXPECT_EQ(request_of("DISABLE app").what->id, command_id::disable);
    EXPECT_EQ(request_of("ENABLE").what->id, command_id::enable);
}

TEST(ConsolePlan, ArgumentsAreThoseOfTheCommandAsWords) {
    EXPECT_THAT(
        request_of("PAUSE app TIMEOUT 5s ON TIMEOUT KEEP").arguments,
        ElementsAre(Pair("on-timeout", "keep"), Pair("timeout", "5s"))
    );
    EXPECT_THAT(
        request_of("pause on timeout Terminate timeout '250ms'").arguments,
        ElementsAre(Pair("on-timeout", "terminate"), Pair("timeout", "250ms"))
    );
    EXPECT_THAT(request_of("RETARGET green").arguments, ElementsAre(Pair("BACKEND", "green")));
    EXPECT_THAT(
        request_of("CUTOVER TO Green DRY RUN ON PINNED WAIT").arguments,
        ElementsAre(Pair("dry-run", "true"), Pair("on-pinned", "wait"), Pair("to", "Green"))
    );
    EXPECT_THAT(
        request_of("ADMIT 10.0.0.0/8=25%, 192.168.0.0/16 REFUSE 'Back at 5'").arguments,
        ElementsAre(Pair("RANGES", "10.0.0.0/8=25% 192.168.0.0/16"), Pair("refuse", "Back at 5"))
    );
    EXPECT_THAT(
        request_of("ADMIT ALL HOLD").arguments,
        ElementsAre(Pair("RANGES", "all"), Pair("hold", "true"))
    );
    EXPECT_THAT(
        request_of("READONLY ON FENCE NONE").arguments,
        ElementsAre(Pair("MODE", "on"), Pair("fence", "none"))
    );
    EXPECT_THAT(
        request_of("DRAIN USER Bob CIDR 10.0.0.0/8").arguments,
        ElementsAre(Pair("cidr", "10.0.0.0/8"), Pair("user", "Bob"))
    );
    EXPECT_EQ(request_of("ABORT").what->id, command_id::abort);
    EXPECT_EQ(request_of("PREFLIGHT TO green").what->id, command_id::preflight);
}

TEST(ConsolePlan, WhatIsWrongIsSaidWithTheNearestThing) {
    const std::pair<const char*, const char*> rows[] = {
        {"PASUE", "42601 unknown command \"PASUE\", expected ABORT, "},
        {"PASUE", "did you mean \"PAUSE\"?"},
        {"\"PAUSE\"", "42601 unknown command"},
        {"SHOW CLIENT", "did you mean \"CLIENTS\"?"},
        {"SHOW", "42601 a name is missing behind SHOW"},
        {"SHOW POOLS app", "42601 SHOW POOLS takes no \"app\""},
        {"PAUSE shop", "3D000 \"shop\" is not what this console is of, expected \"app\""},
        {"PAUSE app TIMOUT 5s", "did you mean \"TIMEOUT\"?"},
        {"PAUSE TIMOUT 5s", "42601 unknown word behind PAUSE: \"TIMOUT\""},
        {"PAUSE TIMEOUT", "42601 a value is missing behind TIMEOUT"},
        {"PAUSE TIMEOUT 1s TIMEOUT 2s", "42601 TIMEOUT is given twice"},
        {"PAUSE TIMEOUT soon", "22023 --timeout: \"soon\" is not a duration"},
        {"RELOAD now", "42601 RELOAD takes no \"now\""},
        {"KILL app now", "42601 KILL takes no \"now\""},
        {"RETARGET", "22023 retarget needs BACKEND"},
        {"RETARGET green now", "42601 RETARGET takes no \"now\""},
        {"ADMIT 10.0.0.1/8", "22023 RANGES: \"10.0.0.1/8\" has bits set"},
        {"CUTOVER TO green PLAN '/etc/passwd'", "0A000 PLAN names a file"},
        {"PREFLIGHT TO green HTML x", "0A000 HTML names a file"},
        {"SHUTDOWN WAIT_FOR_CLIENTS", "0A000 SHUTDOWN WAIT_FOR_CLIENTS would wait"},
        {"SUSPEND", "0A000 SUSPEND is for handing sockets"},
        {"DISABLE shop", "3D000 \"shop\" is not what this console is of"},
        {"ENABLE app now", "42601 ENABLE takes no \"now\""},
        {"RECONNECT TIMEOUT 5s", "3D000"},
        {"WAIT_CLOSE TIMEOUT soon", "22023 --timeout"},
        {"SHOW FDS", "0A000 SHOW FDS"},
        {"BEGIN", "0A000 the console knows no transactions"},
        {"ROLLBACK", "0A000 the console knows no transactions"},
        {"SET default_pool_size = 5", "0A000 \"default_pool_size\" cannot be set here"},
        {"SET", "42601 a name is missing behind SET"},
        {"", "42601 an empty statement"},
        {"PAUSE 'app", "42601 unterminated quoted string"},
    };
    for (const auto& [statement, expected] : rows) {
        EXPECT_THAT(refusal(statement), HasSubstr(expected)) << statement;
    }
}

TEST(ConsolePlan, WhatDriversSetAndAskForIsAnswered) {
    for (const char* statement :
         {"SET extra_float_digits = 3",
          "SET application_name='x y'",
          "set client_encoding to 'UTF8'",
          "SET NAMES 'utf8'",
          "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
          "SET TIME ZONE 'UTC'"}) {
        EXPECT_EQ(plan(statement).tag, "SET") << statement;
        EXPECT_EQ(plan(statement).needs, role::viewer);
    }
    for (const char* statement :
         {"SHOW client_encoding",
          "show DateStyle",
          "SHOW standard_conforming_strings",
          "SHOW TRANSACTION ISOLATION LEVEL"}) {
        ASSERT_EQ(plan(statement).columns.size(), 1U) << statement;
    }
    EXPECT_EQ(plan("SHOW client_encoding").columns[0].name, "client_encoding");
    EXPECT_EQ(plan("SELECT version").columns[0].name, "version");
}

TEST(ConsolePlan, EachVerbNeedsTheRoleOfItsCommand) {
    const std::pair<const char*, role> rows[] = {
        {"SHOW CLIENTS", role::viewer},
        {"SHOW CONFIG", role::viewer},
        {"SHOW SESSIONS", role::operator_},
        {"PAUSE", role::operator_},
        {"KILL", role::operator_},
        {"KILL_CLIENT 1", role::operator_},
        {"CUTOVER TO green", role::operator_},
        {"PREFLIGHT TO green", role::operator_},
        {"READONLY ON", role::operator_},
        {"RELOAD", role::admin},
        {"SHUTDOWN", role::admin},
    };
    for (const auto& [statement, needed] : rows) {
        EXPECT_EQ(plan(statement).needs, needed) << statement;
    }
}

TEST(ConsolePlan, SeveralServicesAreNamedOrMeantTogether) {
    EXPECT_THAT(plan("PAUSE", two).services, ElementsAre("app", "shop"));
    EXPECT_THAT(plan("PAUSE shop", two).services, ElementsAre("shop"));
    EXPECT_THAT(plan("PAUSE app_db", two).services, ElementsAre("app")) << "by its only database";
    EXPECT_THAT(plan("PAUSE TIMEOUT 5s SERVICE shop", two).services, ElementsAre("shop"));
    EXPECT_THAT(plan("RETARGET green SERVICE shop", two).services, ElementsAre("shop"));
    EXPECT_THAT(plan("KILL_CLIENT 7", two).services, ElementsAre("app", "shop"));
    EXPECT_TRUE(plan("KILL_CLIENT 7", two).is_for_any);
    EXPECT_THAT(plan("RELOAD", two).services, IsEmpty());
    EXPECT_THAT(plan("SHOW POOLS", two).services, IsEmpty());
    EXPECT_THAT(plan("SHOW PINS SERVICE shop", two).services, ElementsAre("shop"));
    const std::pair<const char*, const char*> rows[] = {
        {"PAUSE mall", "3D000 \"mall\" is not what this console is of, expected app or shop"},
        {"RETARGET green", "42601 several services are reached here, expected SERVICE app or shop"},
        {"RETARGET green SERVICE mall", "3D000"},
        {"RETARGET green SERVICE", "42601 a value is missing behind SERVICE"},
        {"PAUSE app SERVICE shop", "42601 the service is given twice"},
        {"RELOAD SERVICE app", "42601 RELOAD takes no \"SERVICE\""},
        {"SHOW PINS SERVICE mall", "3D000"},
    };
    for (const auto& [statement, expected] : rows) {
        EXPECT_THAT(refusal(statement, two), HasSubstr(expected)) << statement;
    }
}

}  // namespace
}  // namespace pgsluice::control
