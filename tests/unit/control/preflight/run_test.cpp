#include "control/preflight/run.hpp"

#include <gtest/gtest.h>

#include <set>

namespace pgsluice::control {
namespace {

TEST(Checks, HaveNamesOfTheirOwnThatFitIntoAConfiguration) {
    std::set<std::string_view> names;
    for (const check& each : checks()) {
        EXPECT_TRUE(names.insert(each.name()).second) << each.name();
        EXPECT_EQ(find_check(each.name()), &each);
        EXPECT_EQ(each.name().find_first_not_of("abcdefghijklmnopqrstuvwxyz-"), each.name().npos);
        EXPECT_TRUE(each.level() == check_level::warning || each.level() == check_level::error);
    }
    EXPECT_EQ(find_check("nothing"), nullptr);
}

}  // namespace
}  // namespace pgsluice::control
