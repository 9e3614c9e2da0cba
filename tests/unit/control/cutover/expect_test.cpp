#include "control/cutover/expect.hpp"
#include "tests/unit/control/cutover/fake_world.hpp"

#include <gtest/gtest.h>

namespace pgsluice::control {
namespace {

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

}  // namespace
}  // namespace pgsluice::control
