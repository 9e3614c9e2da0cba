#include "control/config/keys.hpp"
#include "tests/unit/control/config/config_files.hpp"

#include <gmock/gmock.h>

namespace pgsluice::control {
namespace {

using testing::HasSubstr;
using testing::Pair;
using testing::UnorderedElementsAre;

std::string with_checks(const std::string& checks) {
    return std::string(smallest) + "    checks: {" + checks + "}\n";
}

TEST(ConfigChecks, KeepsWhatDiffersFromTheTableOfChecks) {
    const auto parsed = parse_config(with_checks("data: warn, settings: off, slot: error"));
    ASSERT_TRUE(parsed.value) << parsed.errors.front().text;
    EXPECT_THAT(
        parsed.value->services[0].checks,
        UnorderedElementsAre(Pair("data", check_level::warning), Pair("settings", check_level::off))
    );
    const std::string printed = print_config(*parsed.value);
    EXPECT_THAT(printed, HasSubstr("settings: off"));
    EXPECT_EQ(parse_config(printed).value, parsed.value);
}

TEST(ConfigChecks, AreAppliedByAReload) {
    const config before = *parse_config(smallest).value;
    const config after = *parse_config(with_checks("data: off")).value;
    EXPECT_EQ(reloaded(before, after), after);
    EXPECT_EQ(reloaded(after, before), before);
}

TEST(ConfigChecks, NamesWhatIsWrong) {
    EXPECT_THAT(
        parse_config(with_checks("dta: off")).errors.at(0).text, HasSubstr("unknown key \"dta\"")
    );
    EXPECT_THAT(
        parse_config(with_checks("data: warning")).errors.at(0).text,
        HasSubstr("\"warning\" is not valid")
    );
}

}  // namespace
}  // namespace pgsluice::control
