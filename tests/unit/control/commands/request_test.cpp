#include "control/commands/request.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace pgsluice::control {
namespace {

using testing::HasSubstr;

std::string error_of(std::string_view line) {
    const auto parsed = parse_request(line);
    return parsed.has_error() ? parsed.error().message : "";
}

TEST(Commands, TableIsUniqueAndCoversEveryCommand) {
    std::set<std::string_view> names;
    for (const command& each : commands()) {
        EXPECT_TRUE(names.insert(each.name).second) << each.name;
        EXPECT_EQ(find_command(each.name), &each);
        EXPECT_FALSE(each.help.empty()) << each.name;
    }
    for (const char* name :
         {"status",
          "sessions",
          "pause",
          "resume",
          "retarget",
          "cutover",
          "preflight",
          "abort",
          "admit",
          "reload",
          "shutdown"}) {
        ASSERT_TRUE(names.contains(name)) << name;
    }
    EXPECT_EQ(find_command("nothing"), nullptr);
}

TEST(Commands, RequestIsReadBackAsWritten) {
    const auto given = make_request(
        "cutover", "app", {{"to", "green"}, {"timeout", "250ms"}, {"dry-run", "true"}}
    );
    ASSERT_TRUE(given.has_value());
    const auto parsed = parse_request(format_request(*given));
    ASSERT_TRUE(parsed.has_value());
    EXPECT_EQ(parsed->what, given->what);
    EXPECT_EQ(parsed->service, "app");
    EXPECT_EQ(parsed->arguments, given->arguments);
    EXPECT_EQ(parsed->duration("timeout", {}), std::chrono::milliseconds(250));
    EXPECT_EQ(parsed->text("to"), "green");
    EXPECT_TRUE(parsed->has("dry-run"));
    EXPECT_EQ(parsed->text("on-pinned", "abort"), "abort");
    EXPECT_EQ(parsed->duration("none", std::chrono::seconds(1)), std::chrono::seconds(1));
}

TEST(Commands, FlagsMayBeBooleans) {
    EXPECT_TRUE(parse_request(R"({"command":"shutdown","arguments":{"drain":true}})")->has("drain")
    );
    EXPECT_FALSE(
        parse_request(R"({"command":"shutdown","arguments":{"drain":false}})")->has("drain")
    );
}

TEST(Commands, WrongRequestsSayWhatWasExpected) {
    const std::pair<const char*, const char*> rows[] = {
        {"", "not a JSON object"},
        {"[]", "not a JSON object"},
        {"{\"command\":\"status\"", "not a JSON object"},
        {"{}", "no command is given, expected status, sessions"},
        {R"({"command":"stats"})", "did you mean \"status\"?"},
        {R"({"command":"readonly"})", "readonly needs MODE, on or off"},
        {R"({"command":1})", "\"command\" is not valid in a request"},
        {R"({"command":"status","extra":1})", "\"extra\" is not valid in a request"},
        {R"({"command":"status","arguments":{"x":1}})", "argument \"x\" is not a text or flag"},
        {R"({"command":"status","arguments":{"x":"1"}})",
         "status has no argument \"x\", expected none"},
        {R"({"command":"pause","arguments":{"timeot":"1s"}})", "did you mean \"timeout\"?"},
        {R"({"command":"pause","arguments":{"timeout":"1"}})", "--timeout: \"1\" has no unit"},
        {R"({"command":"pause","arguments":{"on-timeout":"x"}})",
         "expected resume, terminate or keep"},
        {R"({"command":"retarget"})", "retarget needs BACKEND"},
        {R"({"command":"retarget","arguments":{"BACKEND":""}})", "BACKEND is empty"},
        {R"({"command":"cutover"})", "cutover needs --to, the new backend"},
        {R"({"command":"shutdown","arguments":{"drain":"yes"}})", "--drain takes no value"},
        {R"({"command":"admit"})", "admit needs RANGES"},
        {R"({"command":"canary"})", "canary needs RANGES, or one of --stages"},
        {R"({"command":"canary","arguments":{"RANGES":"all","to":"b","skip":true}})",
         "canary takes one of RANGES, --stages"},
        {R"({"command":"canary","arguments":{"RANGES":"off","skip":true}})",
         "canary off takes --timeout alone"},
        {R"({"command":"canary","arguments":{"stages":"f"}})", "canary needs --to"},
        {R"({"command":"canary","arguments":{"stages":"f","to":"b","timeout":"1s"}})",
         "--timeout belongs to RANGES"},
        {R"({"command":"canary","arguments":{"pause":true,"access":"read-only"}})",
         "--to and --access belong to RANGES or --stages"},
        {R"({"command":"admit","arguments":{"RANGES":" "}})", "RANGES: no range is given"},
        {R"({"command":"admit","arguments":{"RANGES":"::/0 10.0.0.1/8"}})",
         "RANGES: \"10.0.0.1/8\" has bits set beyond its prefix, expected 10.0.0.0/8"},
        {R"({"command":"admit","arguments":{"RANGES":"all","refuse":""}})", "--refuse is empty"},
        {R"({"command":"admit","arguments":{"RANGES":"all","refuse":"a\u0000b"}})",
         "--refuse holds a zero byte"},
        {R"({"command":"admit","arguments":{"RANGES":"all","refuse":"x","hold":true}})",
         "expected one of them"},
    };
    for (const auto& [line, expected] : rows) {
        EXPECT_THAT(error_of(line), HasSubstr(expected)) << line;
    }
}

}  // namespace
}  // namespace pgsluice::control
