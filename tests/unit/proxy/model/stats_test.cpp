#include "proxy/model/stats.hpp"

#include <gtest/gtest.h>

namespace pgsluice::proxy {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

TEST(StallHistogram, PutsEachWaitIntoTheClassBelowItsBound) {
    for (std::size_t i = 0; i < stall_histogram::bounds_ms.size(); ++i) {
        stall_histogram stalls;
        stalls.add(milliseconds(stall_histogram::bounds_ms[i]) - microseconds(1));
        stalls.add(milliseconds(stall_histogram::bounds_ms[i]));
        EXPECT_EQ(stalls.counts[i], 1U);
        EXPECT_EQ(stalls.counts[i + 1], 1U);
        EXPECT_EQ(stalls.longest, milliseconds(stall_histogram::bounds_ms[i]));
    }
}

TEST(StallHistogram, AddsUpAndKeepsTheLongest) {
    stall_histogram one;
    stall_histogram other;
    one.add(milliseconds(3));
    other.add(milliseconds(4));
    other.add(milliseconds(40));
    one.add(other);
    EXPECT_EQ(one.counts[2], 2U);
    EXPECT_EQ(one.counts[5], 1U);
    EXPECT_EQ(one.longest, milliseconds(40));
}

}  // namespace
}  // namespace pgsluice::proxy
