#include "control/preflight/run.hpp"
#include "tests/unit/control/cutover/fake_world.hpp"

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

TEST(Preflight, ExpectsEveryoneWhoIsConnectedOrWaits) {
    fake_world fake;
    fake.now.held = 2;
    fake.rows = {pinned_session()};
    const auto expected = expect(fake, asked(replication_kind::logical));
    EXPECT_EQ(expected.sessions, 5U);
    EXPECT_EQ(expected.ours(), (std::vector<std::int32_t>{11, 12}));
    ASSERT_EQ(expected.logins.size(), 1U);
    EXPECT_EQ(expected.logins.begin()->first, pinned_session().user);
}

TEST(Preflight, FailsForErrorsAlone) {
    const cutover_request request = asked(replication_kind::logical);
    std::vector<check_row> rows{
        {"login", check_level::ok, "fine", ""},
        {"slot", check_level::warning, "odd", "look"},
        {"standby", check_level::off, "switched off", ""}};
    outcome ended = preflight_outcome(request, rows);
    EXPECT_EQ(ended.exit, exit_code::done);
    EXPECT_EQ(ended.result["warn"].as_uint64(), 1U);
    rows.push_back({"tables", check_level::error, "lost", "add"});
    ended = preflight_outcome(request, rows);
    EXPECT_EQ(ended.exit, exit_code::failed);
    EXPECT_EQ(ended.error, "1 error: a cutover to green would be refused");
    EXPECT_EQ(ended.result["checks"].as_array().size(), 4U);
}

}  // namespace
}  // namespace pgsluice::control
