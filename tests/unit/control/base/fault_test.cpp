#include "control/base/fault.hpp"
#include "tests/unit/control/base/temp_directory.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace pgsluice::control {
namespace {

/// How a child ends or stops that passes the point `here` with these faults.
int status_of_child(const char* faults) {
    const pid_t child = ::fork();
    if (child == 0) {
        ::setenv("PGSLUICE_FAULT", faults, 1);
        ::_exit(fault_point("here").has_value() ? 0 : 1);
    }
    int status = 0;
    ::waitpid(child, &status, WUNTRACED);
    if (WIFSTOPPED(status)) {
        int ignored = 0;
        ::kill(child, SIGKILL);
        ::waitpid(child, &ignored, 0);
    }
    return status;
}

TEST(FaultPoint, DoesNothingUnlessNamed) {
    EXPECT_TRUE(fault_point("here").has_value());
    for (const char* faults : {"", "there=kill", "here", "here=", "her=kill", "heree=kill,,="}) {
        EXPECT_EQ(status_of_child(faults), 0) << faults;
    }
}

TEST(FaultPoint, HoldsUntilItIsReleased) {
    ::setenv("PGSLUICE_FAULT", "here=hold", 1);
    std::atomic<bool> released = false;
    std::atomic<bool> passed = false;
    std::thread holding([&] { passed = fault_point("here", &released).has_value(); });
    EXPECT_FALSE(fault_point("here").has_value()) << "nothing could release it";
    EXPECT_FALSE(passed);
    released = true;
    holding.join();
    EXPECT_TRUE(passed);
    ::unsetenv("PGSLUICE_FAULT");
}

TEST(FaultPoint, WritesDownWhatIsPassed) {
    const temp_directory directory;
    const std::string file = directory.path() + "/trace";
    ::setenv("PGSLUICE_FAULT_TRACE", file.c_str(), 1);
    EXPECT_TRUE(fault_point("one").has_value());
    EXPECT_TRUE(fault_point("two").has_value());
    ::unsetenv("PGSLUICE_FAULT_TRACE");
    std::ifstream in(file);
    std::string first, second;
    in >> first >> second;
    EXPECT_EQ(first + " " + second, "one two");
}

TEST(FaultPoint, KillsStopsOrFailsOnDemand) {
    EXPECT_EQ(WTERMSIG(status_of_child("there=error,here=kill")), SIGKILL);
    EXPECT_TRUE(WIFSTOPPED(status_of_child("here=stop")));
    EXPECT_EQ(WEXITSTATUS(status_of_child("here=error,there=kill")), 1);
}

}  // namespace
}  // namespace pgsluice::control
