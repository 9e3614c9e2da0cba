#include "control/preflight/findings.hpp"

#include <gtest/gtest.h>

namespace pgsluice::control {
namespace {

TEST(Verdicts, HasTheCheckItsLevelAndNotesAlwaysWarn) {
    std::vector<check_row> rows;
    verdicts found("slot", check_level::error, rows);
    found.bad("lost", "mend it");
    found.note("odd");
    found.close("never said");
    ASSERT_EQ(rows.size(), 2U);
    EXPECT_EQ(rows[0].name, "slot");
    EXPECT_EQ(rows[0].level, check_level::error);
    EXPECT_EQ(rows[0].hint, "mend it");
    EXPECT_EQ(rows[1].level, check_level::warning);
}

TEST(Verdicts, SaysThatNothingWasFound) {
    std::vector<check_row> rows;
    verdicts("slot", check_level::error, rows).close("in use");
    ASSERT_EQ(rows.size(), 1U);
    EXPECT_EQ(rows[0].level, check_level::ok);
    EXPECT_EQ(rows[0].text, "in use");
}

TEST(Verdicts, CountsWhatIsTooMuchToReadAndKeepsItsLevel) {
    std::vector<check_row> rows;
    verdicts found("indexes", check_level::error, rows);
    for (int i = 0; i < 12; ++i) {
        found.note("note");
    }
    found.bad("the worst comes last");
    found.close("");
    ASSERT_EQ(rows.size(), 11U);
    EXPECT_EQ(rows.back().text, "and 3 more");
    EXPECT_EQ(rows.back().level, check_level::error);
    EXPECT_EQ(found.findings(), 13U);
}

}  // namespace
}  // namespace pgsluice::control
