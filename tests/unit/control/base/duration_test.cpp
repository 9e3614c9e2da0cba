#include "control/base/duration.hpp"

#include <gtest/gtest.h>

namespace pgsluice::control {
namespace {

using std::chrono::milliseconds;

TEST(Duration, ReadsEachUnit) {
    EXPECT_EQ(parse_duration("250ms").value(), milliseconds(250));
    EXPECT_EQ(parse_duration("10s").value(), milliseconds(10'000));
    EXPECT_EQ(parse_duration("5m").value(), milliseconds(300'000));
    EXPECT_EQ(parse_duration("0s").value(), milliseconds(0));
    EXPECT_EQ(parse_duration("1440m").value(), milliseconds(86'400'000));
}

TEST(Duration, RefusesEverythingElseAndSaysWhy) {
    const std::pair<const char*, const char*> rows[] = {
        {"10", "\"10\" has no unit"},
        {"", "is not a duration"},
        {"ms", "is not a duration"},
        {"-1s", "is not a duration"},
        {" 1s", "is not a duration"},
        {"1.5s", "has an unknown unit"},
        {"1h", "has an unknown unit"},
        {"1 s", "has an unknown unit"},
        {"1S", "has an unknown unit"},
        {"1441m", "is too long"},
        {"99999999999999999999s", "is too long"},
        {"9223372036854775807m", "is too long"},
    };
    for (const auto& [text, why] : rows) {
        const auto parsed = parse_duration(text);
        ASSERT_TRUE(parsed.has_error()) << text;
        EXPECT_NE(parsed.error().message.find(why), std::string::npos) << parsed.error().message;
        EXPECT_NE(parsed.error().message.find("250ms, 10s or 5m"), std::string::npos) << text;
    }
}

TEST(Duration, FormatsToTheShortestTextThatReadsBack) {
    EXPECT_EQ(format_duration(milliseconds(0)), "0s");
    EXPECT_EQ(format_duration(milliseconds(1)), "1ms");
    EXPECT_EQ(format_duration(milliseconds(1500)), "1500ms");
    EXPECT_EQ(format_duration(milliseconds(30'000)), "30s");
    EXPECT_EQ(format_duration(milliseconds(120'000)), "2m");
    for (const int ms : {0, 1, 999, 1000, 60'000, 61'000, 86'400'000}) {
        EXPECT_EQ(parse_duration(format_duration(milliseconds(ms))).value(), milliseconds(ms));
    }
}

}  // namespace
}  // namespace pgsluice::control
