#include "proxy/access/user_maps.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgsluice::proxy {
namespace {

using testing::StartsWith;

TEST(UserMaps, LetInWhomARecordNames) {
    const auto maps = user_maps::parse("# who is who\n"
                                       "staff  alice          alice\n"
                                       "staff  alice          app\n"
                                       "staff  \"bob smith\"  bob   # twice\n"
                                       "ops    root           all\n"
                                       "odd    root           \"all\"\n");
    ASSERT_TRUE(maps.has_value()) << maps.error().message;
    EXPECT_TRUE(maps->lets_in("staff", "alice", "alice"));
    EXPECT_TRUE(maps->lets_in("staff", "alice", "app"));
    EXPECT_FALSE(maps->lets_in("staff", "alice", "bob"));
    EXPECT_TRUE(maps->lets_in("staff", "bob smith", "bob"));
    EXPECT_FALSE(maps->lets_in("staff", "bob", "bob"));
    EXPECT_TRUE(maps->lets_in("ops", "root", "postgres"));
    EXPECT_FALSE(maps->lets_in("ops", "alice", "alice"));
    EXPECT_FALSE(maps->lets_in("odd", "root", "postgres")) << "a role of that name";
    EXPECT_TRUE(maps->lets_in("odd", "root", "all"));
    EXPECT_FALSE(maps->lets_in("", "alice", "alice"));
    EXPECT_TRUE(maps->has("ops"));
    EXPECT_FALSE(maps->has("nobody"));
}

TEST(UserMaps, RefuseWhatTheyDoNotKnow) {
    for (const auto& [text, why] : {
             std::pair("staff alice", "1: expected a map"),
             std::pair("\nstaff alice a b", "2: expected a map"),
             std::pair("staff alice a,b", "1: there are several names"),
             std::pair("staff /^(.*)@x$ \\1", "1: \"/^(.*)@x$\" is a regular expression"),
             std::pair("staff alice +app", "1: \"+app\" asks for memberships"),
             std::pair("staff @file app", "1: \"@file\" names a file"),
             std::pair("staff \"alice app", "1: a quote is not closed"),
         }) {
        const auto maps = user_maps::parse(text);
        ASSERT_FALSE(maps.has_value()) << text;
        EXPECT_THAT(maps.error().message, StartsWith(why));
    }
}

}  // namespace
}  // namespace pgsluice::proxy
