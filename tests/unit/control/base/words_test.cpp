#include "control/base/words.hpp"

#include <gtest/gtest.h>

#include <array>

namespace pgsluice::control {
namespace {

constexpr std::array<std::string_view, 4> keys = {"listen", "backends", "route", "hold"};

TEST(Nearest, FindsTyposOfEachKind) {
    EXPECT_EQ(nearest("listne", keys), "listen");
    EXPECT_EQ(nearest("lisen", keys), "listen");
    EXPECT_EQ(nearest("listenn", keys), "listen");
    EXPECT_EQ(nearest("backend", keys), "backends");
    EXPECT_EQ(nearest("rout", keys), "route");
    EXPECT_EQ(nearest("hodl", keys), "hold");
}

TEST(Nearest, StaysSilentWhenNothingIsNear) {
    EXPECT_EQ(nearest("xyzzy", keys), "");
    EXPECT_EQ(nearest("", keys), "");
    EXPECT_EQ(nearest(std::string(10'000, 'a'), keys), "");
    EXPECT_EQ(did_you_mean("xyzzy", keys), "");
    EXPECT_EQ(did_you_mean("rote", keys), "; did you mean \"route\"?");
}

TEST(OneOf, JoinsWithCommasAndOr) {
    EXPECT_EQ(one_of(keys), "listen, backends, route or hold");
    EXPECT_EQ(one_of(std::span(keys).first(1)), "listen");
    EXPECT_EQ(one_of({}), "");
}

}  // namespace
}  // namespace pgsluice::control
