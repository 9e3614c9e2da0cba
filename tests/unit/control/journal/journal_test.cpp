#include "control/journal/journal.hpp"
#include "tests/unit/control/base/temp_directory.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <fcntl.h>
#include <fstream>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace pgsluice::control {
namespace {

using testing::HasSubstr;

std::unique_ptr<journal> opened(const std::string& directory) {
    auto log = journal::open(directory);
    EXPECT_TRUE(log.has_value()) << log.error().message;
    return log ? std::move(*log) : nullptr;
}

std::vector<std::string> kinds(const journal& log) {
    std::vector<std::string> names;
    for (const journal_record& record : log.replayed()) {
        names.push_back(record.kind);
    }
    return names;
}

/// Sets PGSLUICE_FAULT for a scope.
class fault {
public:
    explicit fault(const char* faults) { ::setenv("PGSLUICE_FAULT", faults, 1); }
    ~fault() { ::unsetenv("PGSLUICE_FAULT"); }
};

TEST(Journal, AppendsInOrderAndReplaysAfterReopening) {
    const temp_directory directory;
    const std::string path = directory.path() + "/state";
    {
        const auto log = opened(path);
        EXPECT_TRUE(log->replayed().empty());
        EXPECT_EQ(log->append("app", "first", {{"a", 1}})->seq, 1u);
        EXPECT_EQ(log->append("app", "second", {})->seq, 2u);
    }
    const auto log = opened(path);
    ASSERT_THAT(kinds(*log), testing::ElementsAre("first", "second"));
    EXPECT_EQ(log->replayed()[0].payload, (boost::json::object{{"a", 1}}));
    EXPECT_GT(log->replayed()[0].at_ms, 0);
    EXPECT_EQ(log->append("app", "third", {})->seq, 3u);
}

TEST(Journal, FilesAreForTheirOwnerOnly) {
    const temp_directory directory;
    const auto log = opened(directory.path() + "/state");
    struct stat status {};
    ASSERT_EQ(::stat((directory.path() + "/state").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0700u);
    ASSERT_EQ(::stat((directory.path() + "/state/journal").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST(Journal, SecondOpenerLearnsWhoHoldsTheLock) {
    const temp_directory directory;
    const auto log = opened(directory.path());
    const auto second = journal::open(directory.path());
    ASSERT_TRUE(second.has_error());
    EXPECT_THAT(
        second.error().message, HasSubstr("in use by process " + std::to_string(::getpid()))
    );
}

TEST(Journal, LockEndsWithItsHolder) {
    const temp_directory directory;
    opened(directory.path())->append("", "x", {}).value();
    EXPECT_NE(opened(directory.path()), nullptr);
}

TEST(Journal, UnusableDirectoryIsAnErrorThatNamesIt) {
    const auto missing = journal::open("/nonexistent/state");
    ASSERT_TRUE(missing.has_error());
    EXPECT_THAT(missing.error().message, HasSubstr("/nonexistent/state"));
    EXPECT_TRUE(journal::open("/dev/null").has_error());
}

TEST(Journal, TornTailIsCutOffAndAppendingGoesOn) {
    const temp_directory directory;
    opened(directory.path())->append("", "whole", {}).value();
    std::ofstream(directory.path() + "/journal", std::ios::app) << "0123abcd {\"seq\":2,\"at";
    {
        const auto log = opened(directory.path());
        EXPECT_EQ(log->torn_bytes(), 21u);
        EXPECT_THAT(kinds(*log), testing::ElementsAre("whole"));
        log->append("", "next", {}).value();
    }
    const auto log = opened(directory.path());
    EXPECT_EQ(log->torn_bytes(), 0u);
    EXPECT_THAT(kinds(*log), testing::ElementsAre("whole", "next"));
}

TEST(Journal, DamageRefusesToOpenAndChangesNothing) {
    const temp_directory directory;
    {
        const auto log = opened(directory.path());
        log->append("", "one", {}).value();
        log->append("", "two", {}).value();
    }
    std::fstream(directory.path() + "/journal", std::ios::in | std::ios::out).put('z');
    const auto log = journal::open(directory.path());
    ASSERT_TRUE(log.has_error());
    EXPECT_THAT(log.error().message, HasSubstr(directory.path() + "/journal: the journal is "));
    EXPECT_THAT(log.error().message, HasSubstr("offset 0"));
    EXPECT_TRUE(journal::open(directory.path()).has_error()) << "still there at the next start";
}

TEST(Journal, RewriteKeepsWhatItIsGivenAndGoesOn) {
    const temp_directory directory;
    {
        const auto log = opened(directory.path());
        for (const char* kind : {"a", "b", "c", "d"}) {
            log->append("", kind, {}).value();
        }
        const auto before = log->size_bytes();
        const unique_fd file(::open((directory.path() + "/journal").c_str(), O_RDONLY));
        const auto all = decode_journal(read_all(file.get(), "journal").value()).value().records;
        ASSERT_TRUE(log->rewrite(std::vector{all[1], all[3]}).has_value());
        EXPECT_LT(log->size_bytes(), before);
        EXPECT_EQ(log->append("", "e", {})->seq, 3u);
    }
    EXPECT_THAT(kinds(*opened(directory.path())), testing::ElementsAre("b", "d", "e"));
}

TEST(Journal, FailedAppendLeavesNoTrace) {
    const temp_directory directory;
    {
        const auto log = opened(directory.path());
        log->append("", "one", {}).value();
        for (const char* faults : {"journal_before:two=error", "journal_written:two=error"}) {
            const fault injected(faults);
            EXPECT_TRUE(log->append("", "two", {}).has_error());
            EXPECT_FALSE(log->is_broken());
        }
        EXPECT_EQ(log->append("", "three", {})->seq, 2u);
    }
    EXPECT_THAT(kinds(*opened(directory.path())), testing::ElementsAre("one", "three"));
}

/// Opens and appends `one`, `two` in a child that is killed at `point`. Returns what a restart
/// reads.
std::vector<std::string> killed_at(const std::string& directory, const std::string& point) {
    const pid_t child = ::fork();
    if (child == 0) {
        ::setenv("PGSLUICE_FAULT", (point + "=kill").c_str(), 1);
        auto log = journal::open(directory);
        if (log) {
            (void)(*log)->append("", "one", {});
            (void)(*log)->append("", "two", {});
        }
        ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << point;
    return kinds(*opened(directory));
}

TEST(Journal, KilledAroundAnAppendKeepsAWholePrefix) {
    const std::pair<const char*, std::vector<std::string>> rows[] = {
        {"journal_before:one", {}},
        {"journal_written:one", {"one"}},
        {"journal_after:one", {"one"}},
        {"journal_before:two", {"one"}},
        {"journal_written:two", {"one", "two"}},
        {"journal_after:two", {"one", "two"}},
    };
    for (const auto& [point, expected] : rows) {
        const temp_directory directory;
        EXPECT_EQ(killed_at(directory.path(), point), expected) << point;
    }
}

}  // namespace
}  // namespace pgsluice::control
