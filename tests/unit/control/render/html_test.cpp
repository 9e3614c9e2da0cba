#include "control/render/html.hpp"

#include <boost/json/parse.hpp>
#include <gmock/gmock.h>

namespace pgsluice::control {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(ReportHtml, ShowsEveryVerdictAndNothingOfItAsMarkup) {
    const auto result = boost::json::parse(R"({"from":"blue","to":"green","ok":1,"warn":0,"off":0,
        "error":1,"checks":[{"check":"login","level":"ok","text":"both","hint":""},
        {"check":"views","level":"error","text":"<script>a & b","hint":"SELECT \"x\""}]})");
    const std::string page = verdicts_page(result.as_object());
    EXPECT_THAT(page, HasSubstr("Preflight from blue to green"));
    EXPECT_THAT(page, HasSubstr("1 errors, 0 warnings, 1 ok, 0 off"));
    EXPECT_THAT(page, HasSubstr("<tr class=\"error\"><td>error</td><td>views</td>"));
    EXPECT_THAT(page, HasSubstr("&lt;script&gt;a &amp; b"));
    EXPECT_THAT(page, HasSubstr("SELECT &quot;x&quot;"));
    EXPECT_THAT(page, Not(HasSubstr("<script>")));
    EXPECT_THAT(page, Not(HasSubstr("http")));
}

TEST(ReportHtml, ShowsWhereTheTimeOfACutoverWent) {
    const auto result = boost::json::parse(R"({"from":"blue","to":"green","outcome":"done",
        "text":"2 sessions moved","way_back":"`rollback` <leads> back","held_ms":35.5,
        "drained_ms":10.5,"waited_ms":5,"added_ms":20,"longest_stall_ms":34.2,
        "stalls":[{"from_ms":0,"to_ms":1,"waits":4},{"from_ms":20,"to_ms":null,"waits":8}],
        "left_behind":["42 postgres <temp>"],"rows":[],
        "steps":[{"step":"preflight","took_ms":100,"in_pause":false,"text":"56 checks"},
        {"step":"drain","took_ms":50,"in_pause":true,"text":"all parked"}],
        "checks":[{"check":"login","level":"ok","text":"both","hint":""}]})");
    const std::string page = report_page(result.as_object());
    EXPECT_THAT(page, HasSubstr("Cutover from blue to green"));
    EXPECT_THAT(page, HasSubstr("<b>done</b>: 2 sessions moved"));
    EXPECT_THAT(page, HasSubstr("`rollback` &lt;leads&gt; back"));
    EXPECT_THAT(page, HasSubstr("closed for 36 ms: 10 ms for"));
    EXPECT_THAT(page, HasSubstr("The longest: 34 ms"));
    EXPECT_THAT(page, HasSubstr("0 ms to 1 ms</td><td class=\"number\">4</td>"));
    EXPECT_THAT(page, HasSubstr("20 ms and more</td><td class=\"number\">8</td>"));
    EXPECT_THAT(page, HasSubstr("<tr class=\"paused\"><td>drain</td>"));
    EXPECT_THAT(page, HasSubstr("width:150px")) << "half of the longest step";
    EXPECT_THAT(page, HasSubstr("<li>42 postgres &lt;temp&gt;</li>"));
    EXPECT_THAT(page, HasSubstr("<td>login</td>"));
    EXPECT_THAT(page, Not(HasSubstr("In question")));
}

TEST(ReportHtml, SaysThatNobodyWaited) {
    const auto result = boost::json::parse(R"({"from":"a","to":"b","outcome":"aborted"})");
    EXPECT_THAT(report_page(result.as_object()), HasSubstr("No client had to wait."));
}

}  // namespace
}  // namespace pgsluice::control
