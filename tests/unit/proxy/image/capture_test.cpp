#include "proxy/image/capture.hpp"
#include "tests/unit/proxy/image/backend_answers.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgsluice::proxy {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const std::string state_json = R"({"version":"150020","pid":77,"encoding":"UTF8",
 "client_encoding":"LATIN1","strings":"off","session_user":"u","current_user":"r","role":"r",
 "settings":[["work_mem","4096","session","1024","user"],["app.y","1","session",null,"user"],
  ["statement_timeout","0","session","0","user"]],
 "registered":["ext.a"],
 "statements":[["s2",true,"PREPARE s2 AS SELECT 1",null],["s1",false,"SELECT '\"\\'",[23,16500]]],
 "types":[[16500,"public","mood"]],
 "channels":["b","a"],
 "locks":[[true,"-1,7",false],[false,"5",true]],
 "hold_cursors":null,"temp":true})";
const std::string names_json =
    R"({"custom":[["ext.a","x"],["app.x","it's"]],"types":[[16500,"public","mood"]]})";
const std::vector<std::string> names{"app.x", "ext.a"};

TEST(CaptureRequest, ParsesOnceAndBeginsBeforeAnythingTakesASnapshot) {
    const auto first = capture_request({.custom_names = names});
    EXPECT_THAT(first.bytes, HasSubstr("P"));
    EXPECT_LT(
        first.bytes.find("BEGIN ISOLATION LEVEL READ COMMITTED"), first.bytes.find("pg_show")
    );
    EXPECT_EQ(first.ready_expected, 2U);
    const auto again = capture_request({.custom_names = names, .is_prepared = true});
    EXPECT_THAT(again.bytes, Not(HasSubstr("SELECT")));
    EXPECT_THAT(
        labels(again),
        ElementsAre("BEGIN", "capture", "capture by name", "COMMIT", "unnamed statement")
    );
}

TEST(CaptureRequest, AsksByNameOnlyWhatHasANameAndOnce) {
    const std::vector<std::string> odd{"app.x", "nodot", "app.\xc3\xa9", "app.x", "a.\"b\\"};
    const auto request =
        capture_request({.custom_names = odd, .is_prepared = true, .asks_unnamed = false});
    EXPECT_THAT(request.bytes, HasSubstr(R"({"a.\"b\\","app.x"})"));
    EXPECT_EQ(request.ready_expected, 1U);
    const std::vector<std::string> useless{"nodot"};
    EXPECT_THAT(
        labels(capture_request({.custom_names = useless, .is_prepared = true})),
        Not(Contains("capture by name"))
    );
    const std::vector<std::uint32_t> oids{16500, 16501};
    EXPECT_THAT(
        capture_request({.type_oids = oids, .is_prepared = true}).bytes, HasSubstr("{16500,16501}")
    );
}

TEST(CaptureRequest, LeavesTheUnnamedStatementAndTheClientsNamesAlone) {
    for (const auto& request :
         {capture_request({.lifts_timeout = true}), close_request(), rollback_request()}) {
        protocol::reader in(protocol::as_bytes(request.bytes));
        while (const auto type = in.u8()) {
            const auto body = in.bytes(*in.u32() - 4U);
            ASSERT_TRUE(body);
            if (*type == 'P') {
                EXPECT_TRUE(protocol::decode_parse(*body)->statement.starts_with(private_prefix));
            } else if (*type == 'C') {
                EXPECT_TRUE(protocol::decode_close(*body)->name.starts_with(private_prefix));
            } else {
                EXPECT_NE(*type, 'Q');
            }
        }
    }
}

TEST(CapturedImage, HoldsWhatTheServerAnswered) {
    const auto request = capture_request({.custom_names = names});
    const auto image =
        captured_image(outcome_of(request, good_answers(request, {state_json, names_json})));
    ASSERT_TRUE(image) << image.error().detail;
    session_image expected;
    expected.server_version_num = 150020;
    expected.backend_pid = 77;
    expected.database_encoding = "UTF8";
    expected.client_encoding = "LATIN1";
    expected.has_standard_strings = false;
    expected.session_user = "u";
    expected.current_user = "r";
    expected.role = "r";
    expected.settings = {
        {"app.y", "1", "session", "", "user"},
        {"statement_timeout", "0", "session", "0", "user"},
        {"work_mem", "4096", "session", "1024", "user"}};
    expected.registered_names = {"ext.a"};
    expected.custom_settings = {{"app.x", "it's"}};
    expected.statements = {
        {"s1", false, "SELECT '\"\\'", {23, 16500}}, {"s2", true, "PREPARE s2 AS SELECT 1", {}}};
    expected.types = {{16500, "public", "mood"}};
    expected.channels = {"a", "b"};
    expected.locks = {{false, "5", true}, {true, "-1,7", false}};
    expected.has_temp_objects = true;
    expected.has_unnamed_statement = true;
    EXPECT_EQ(*image, expected);
}

TEST(CapturedImage, KnowsWhetherTheUnnamedStatementExists) {
    const auto request = capture_request({.is_prepared = true});
    auto all = good_answers(request, {state_json});
    all.resize(all.size() - 3);  // the description and its ReadyForQuery
    const auto with = [&](const std::string& code) {
        auto answered = all;
        answered.push_back(error(code));
        answered.push_back(ready());
        return captured_image(outcome_of(request, answered)).value().has_unnamed_statement;
    };
    EXPECT_EQ(with("26000"), false);
    EXPECT_EQ(with("25P02"), std::nullopt);
    const auto unasked = capture_request({.is_prepared = true, .asks_unnamed = false});
    EXPECT_EQ(
        captured_image(outcome_of(unasked, good_answers(unasked, {state_json})))
            .value()
            .has_unnamed_statement,
        std::nullopt
    );
}

TEST(CapturedImage, ShowsTheClientsTimeoutWhenTheCaptureLiftedIt) {
    const auto request = capture_request({.lifts_timeout = true});
    for (const auto& [shown, milliseconds] :
         {std::pair("1ms", "1"),
          std::pair("2min", "120000"),
          std::pair("0", "0"),
          std::pair("1d", "86400000"),
          std::pair("90s", "90000")}) {
        const auto lifted = std::string(R"({"statement_timeout":")") + shown + R"(","lifted":"0"})";
        const auto image =
            captured_image(outcome_of(request, good_answers(request, {lifted, state_json})));
        ASSERT_TRUE(image);
        EXPECT_EQ(image->settings[1].value, milliseconds);
    }
}

TEST(CapturedImage, TellsWhatToDoAboutAFailure) {
    const auto request = capture_request({.is_prepared = true, .asks_unnamed = false});
    const auto gone = outcome_of(request, {error("26000"), ready()});
    EXPECT_TRUE(capture_needs_parse(gone));
    EXPECT_FALSE(gone.needs_rollback());
    EXPECT_EQ(captured_image(gone).error().sqlstate, "26000");
    const auto late = outcome_of(
        request, {bind_complete(), command_complete(), bind_complete(), error("57014"), ready('E')}
    );
    EXPECT_TRUE(capture_timed_out(late));
    EXPECT_FALSE(capture_needs_parse(late));
    EXPECT_TRUE(late.needs_rollback());
    const auto dead = outcome_of(request, {error("57P01", "FATAL")});
    EXPECT_FALSE(capture_needs_parse(dead));
    EXPECT_FALSE(captured_image(dead));
    EXPECT_FALSE(captured_image(script_outcome{}));
}

TEST(CapturedImage, RefusesWhatACaptureDoesNotAnswer) {
    const auto request = capture_request({.is_prepared = true, .asks_unnamed = false});
    for (const std::string json : {
             "",
             "{",
             "[]",
             "null",
             "{}",
             R"({"version":150020})",
             R"({"version":"15x"})",
             R"({"unknown":1})",
             R"({"statement_timeout":"3 parsec"})",
             R"({"settings":[["a","b"]]})",
             R"({"settings":[["a","b","c","d",5]]})",
             R"({"settings":7})",
             R"({"statements":[["a",false,"b",[-1]]]})",
             R"({"statements":[["a",false,"b",[4294967296]]]})",
             R"({"statements":[["a",false,"b",["23"]]]})",
             R"({"locks":[[true,"5",false]]})",
             R"({"locks":[[false,"5; DROP TABLE t",false]]})",
             R"({"temp":null})",
             R"([[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]])",
         }) {
        const auto image = captured_image(outcome_of(request, good_answers(request, {json})));
        ASSERT_FALSE(image) << json;
        EXPECT_EQ(image.error().sqlstate, "XX000");
    }
}

TEST(CapturedImage, AnyCutOffAnswerIsAFailureNotAnImage) {
    const auto request = capture_request({.is_prepared = true, .asks_unnamed = false});
    for (std::size_t size = 0; size < state_json.size(); ++size) {
        const auto cut = state_json.substr(0, size);
        EXPECT_FALSE(captured_image(outcome_of(request, good_answers(request, {cut}))));
    }
}

TEST(CapturedImage, LetsBytesOfOtherEncodingsThrough) {
    const auto request = capture_request({.is_prepared = true, .asks_unnamed = false});
    auto json = state_json;
    json.replace(json.find("\"b\""), 3, "\"caf\xe9\\u0001\"");
    const auto image = captured_image(outcome_of(request, good_answers(request, {json})));
    ASSERT_TRUE(image);
    EXPECT_THAT(image->channels, ElementsAre("a", "caf\xe9\x01"));
}

}  // namespace
}  // namespace pgsluice::proxy
