// How long clients waited, in the report of a cutover.
#include "control/cutover/runner.hpp"
#include "tests/unit/control/cutover/fake_world.hpp"

#include <gtest/gtest.h>

namespace pgsluice::control {
namespace {

TEST(CutoverReport, SaysHowLongClientsWaitedHoweverItEnds) {
    for (const char* end : {"", "cutover:fence:before"}) {
        fake_world fake;
        fake.abort_at = end;
        fake.stalled.add(std::chrono::milliseconds(34));
        const auto report = run_cutover(asked(replication_kind::logical), fake.world());
        EXPECT_EQ(report.exit_code, *end == 0 ? 0 : 1) << report.text;
        EXPECT_TRUE(fake.counts_stalls);
        EXPECT_EQ(report.stalls, fake.stalled);
    }
}

}  // namespace
}  // namespace pgsluice::control
