#include "control/config/user_files.hpp"
#include "tests/unit/control/base/temp_directory.hpp"

#include <gmock/gmock.h>

#include <fstream>
#include <sys/stat.h>

namespace pgsluice::control {
namespace {

using testing::HasSubstr;

TEST(SaltKey, IsMadeOnceAndForItsOwnerOnly) {
    const temp_directory home;
    const auto first = salt_key_in(home.path());
    ASSERT_TRUE(first);
    EXPECT_NE(*first, protocol::secret_key{});
    EXPECT_EQ(*salt_key_in(home.path()), *first);
    struct stat about {};
    ASSERT_EQ(::stat((home.path() + "/salt_key").c_str(), &about), 0);
    EXPECT_EQ(about.st_mode & 0777U, 0600U);
    const temp_directory other;
    EXPECT_NE(*salt_key_in(other.path()), *first);
}

TEST(SaltKey, ThatIsNoneIsMadeAnew) {
    const temp_directory home;
    std::ofstream(home.path() + "/salt_key") << "short";
    const auto made = salt_key_in(home.path());
    ASSERT_TRUE(made);
    EXPECT_EQ(*salt_key_in(home.path()), *made);
    EXPECT_FALSE(salt_key_in(home.path() + "/nowhere"));
}

TEST(Users, ProblemsNameTheFileAndTheLine) {
    const temp_directory home;
    const std::string path = home.path() + "/users.txt";
    const auto problem = [&] {
        protocol::user_list users;
        const auto read = read_users(path, users);
        return read ? std::string() : read.error().message;
    };
    EXPECT_EQ(problem(), path + ": No such file or directory");
    std::ofstream(path) << "\"a\" \"hidden\"\n\n\"b\" hidden\n";
    EXPECT_EQ(problem(), path + ":3:5: expected the password or its hash in double quotes");
    std::ofstream(path) << "; nobody yet\n\"a\" \"hidden\"\n";
    EXPECT_EQ(problem(), "");
    protocol::user_list users;
    EXPECT_THAT(read_users(home.path(), users).error().message, HasSubstr("not a file"));
}

}  // namespace
}  // namespace pgsluice::control
