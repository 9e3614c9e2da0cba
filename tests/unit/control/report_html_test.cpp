#include "control/report_html.hpp"

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

}  // namespace
}  // namespace pgsluice::control
