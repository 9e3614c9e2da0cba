#include "control/render/text.hpp"

#include <boost/json/parse.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgsluice::control {
namespace {

boost::json::object parsed(const char* text) {
    return boost::json::parse(text).as_object();
}

TEST(RenderTable, AlignsTextLeftAndNumbersRight) {
    EXPECT_EQ(
        render_table({"name", "n", "note"}, {{"a", "7", "x"}, {"long", "1234", ""}}),
        "name  n     note\n"
        "a        7  x\n"
        "long  1234\n"
    );
    EXPECT_EQ(render_table({}, {}), "");
}

TEST(RenderTable, CountsCharactersAndDisarmsTerminals) {
    EXPECT_EQ(render_table({}, {{"é", "b"}, {"cc", "d"}}), "é   b\ncc  d\n");
    EXPECT_EQ(render_table({}, {{"\x1b[2J\nx\x7f"}}), "?[2J?x?\n");
    const std::string wide(400, 'x');
    EXPECT_EQ(render_table({}, {{wide}}), std::string(300, 'x') + "...\n");
}

TEST(RenderTable, DashIsNoNumber) {
    EXPECT_EQ(render_table({"a", "b"}, {{"x", "-"}, {"y", "long"}}), "a  b\nx  -\ny  long\n");
}

TEST(RenderMs, FitsTheUnitToTheSize) {
    const std::pair<int, const char*> rows[] = {
        {0, "0ms"},
        {999, "999ms"},
        {1500, "1.5s"},
        {125'000, "2m05s"},
        {60'000, "1m00s"},
        {12'000'000, "3h20m"}};
    for (const auto& [ms, text] : rows) {
        EXPECT_EQ(render_ms(ms), text);
    }
}

TEST(RenderResult, ShowsStatusAsTwoTables) {
    EXPECT_EQ(
        render_result("status", parsed(R"({"services":[{"name":"app","route":"blue",
            "generation":3,"gate":"open","access":"read-write","sessions":{"total":12,"idle":10,
            "active":1,"in_transaction":1,"parked":0,"moving":0,"pinned":2},
            "backends":{"blue":{"sessions":12,"address":"h:1"},"green":{"sessions":0,
            "address":"h:2"}},"cutover":{"id":"7","step":"drain","elapsed_ms":1500}}]})")),
        "service  route  generation  gate  access      sessions  idle  active  in transaction  "
        "parked  moving  pinned\n"
        "app      blue            3  open  read-write        12    10       1               1  "
        "     0       0       2\n"
        "\n"
        "service  backend  address  sessions\n"
        "app      blue *   h:1            12\n"
        "app      green    h:2             0\n"
        "\n"
        "cutover of app:\n"
        "id       7\n"
        "step     drain\n"
        "elapsed  1.5s\n"
    );
}

TEST(RenderResult, ShowsVerdictsWithWhatMendsThemInFull) {
    const std::string mend(400, 'x');
    EXPECT_EQ(
        render_result(
            "preflight",
            parsed((R"({"from":"blue","to":"green","ok":1,"warn":0,"error":1,
            "off":0,"checks":[{"check":"login","level":"ok","text":"both","hint":""},
            {"check":"slot","level":"error","text":"lost","hint":")" +
                    mend + R"("}]})")
                       .c_str())
        ),
        "ok     login  both\n"
        "error  slot   lost\n"
        "              mend: " +
            mend +
            "\n"
            "1 ok, 0 warn, 1 error, 0 off\n"
    );
}

TEST(RenderResult, ShowsTheAdmittedSetUnlessItIsEverybody) {
    const auto status = [](const char* set) {
        const std::string text = std::string(R"({"services":[{"name":"app","admission":{"set":)") +
                                 set + R"(,"unadmitted":"hold","inside":1,"outside":2}}]})";
        return render_result("status", parsed(text.c_str()));
    };
    EXPECT_THAT(status(R"(["all"])"), testing::Not(testing::HasSubstr("admission")));
    EXPECT_THAT(
        status(R"(["10.0.0.0/8","::/0=5%"])"),
        testing::HasSubstr("\nadmission of app:\nunadmitted  hold\ninside      1\n"
                           "outside     2\n\nset:\n10.0.0.0/8\n::/0=5%\n")
    );
}

TEST(RenderResult, ShowsSessionsAndGroups) {
    EXPECT_EQ(
        render_result("sessions", parsed(R"({"sessions":[{"id":1,"state":"idle",
            "state_age_ms":20,"user":"u","database":"d","application":"psql","address":"local",
            "backend":"blue","pid":42,"transactions":7,"queries":8,"received_bytes":90,
            "sent_bytes":10,"pins":[{"code":"temp"},{"code":"hold_cursor"}],
            "query":"SELECT 1"}]})")),
        "id  state  for   user  database  application  address  backend  pid  transactions  bytes"
        "  pins              query\n"
        "1   idle   20ms  u     d         psql         local    blue      42             7    100"
        "  temp,hold_cursor  SELECT 1\n"
    );
    EXPECT_THAT(
        render_result("sessions", parsed(R"({"sessions":[{"id":1,"state":"parked",
            "admitted":false}]})")),
        testing::HasSubstr("parked, not admitted")
    );
    EXPECT_EQ(
        render_result("sessions", parsed(R"({"groups":[{"user":"a","sessions":2}]})")),
        "user  sessions\na            2\n"
    );
}

TEST(RenderResult, ShowsAnythingElseAsPairsAndLists) {
    EXPECT_EQ(
        render_result("pause", parsed(R"({"parked":3,"held_ms":70000,"steps":{"drain_ms":5.25},
            "is_open":false,"none":[],"blockers":[{"pid":1,"age_ms":5},{"pid":22,"age_ms":7}]})")),
        "parked       3\n"
        "held         1m10s\n"
        "steps.drain  5.2ms\n"
        "is_open      no\n"
        "\n"
        "blockers:\n"
        "pid  age\n"
        "1    5ms\n"
        "22   7ms\n"
    );
    EXPECT_EQ(render_result("resume", {}), "");
    EXPECT_NO_THROW(render_result("status", {}));
    EXPECT_NO_THROW(render_result("sessions", {}));
}

TEST(RenderProgress, IsOneLine) {
    EXPECT_EQ(
        render_progress(parsed(R"({"step":"drain","text":"3 of 7 parked","elapsed_ms":250})")),
        "drain: 3 of 7 parked (250ms)"
    );
    EXPECT_EQ(render_progress(parsed(R"({"step":"drain"})")), "drain");
    EXPECT_EQ(render_progress({}), "");
}

}  // namespace
}  // namespace pgsluice::control
