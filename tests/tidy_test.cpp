// The house rules as a test: first that each rule can fail, on snippets that break it and snippets
// that only look as if; then every source of this repository.
#include "tests/tidy/rules.hpp"
#include "tests/tidy/snippets.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace pgsluice::tidy {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

class TidyRules : public testing::TestWithParam<snippet> {};

TEST_P(TidyRules, FlagWhatIsWrongAndNothingElse) {
    const snippet& row = GetParam();
    const findings found = check_source(source_text(row.path, row.text));
    if (row.finding == nullptr) {
        EXPECT_THAT(found, IsEmpty());
    } else {
        EXPECT_THAT(found, testing::ElementsAre(HasSubstr(row.finding)));
    }
}

INSTANTIATE_TEST_SUITE_P(
    Snippets,
    TidyRules,
    testing::ValuesIn(snippets),
    [](const testing::TestParamInfo<snippet>& row) { return std::string(row.param.name); }
);

TEST(TidyRules, FlagScripts) {
    EXPECT_THAT(check_script("a.py", repeated("x\n", 451)), Contains(HasSubstr("450 lines")));
    EXPECT_THAT(check_script("a.py", std::string(101, 'x')), Contains(HasSubstr("a.py:1: more")));
    EXPECT_THAT(check_script("a.py", repeated("x\n", 450)), IsEmpty());
}

TEST(TidyRules, FlagReadmes) {
    EXPECT_THAT(check_readme("a/README.md", ""), Contains(HasSubstr("missing")));
    EXPECT_THAT(check_readme("a/README.md", repeated("x\n", 61)), Contains(HasSubstr("60 lines")));
    EXPECT_THAT(check_readme("a/README.md", repeated("x\n", 60)), IsEmpty());
}

const std::filesystem::path repository = PGSLUICE_SOURCE_DIR;

std::string read_all(const std::filesystem::path& path) {
    std::ostringstream out;
    out << std::ifstream(path).rdbuf();
    return out.str();
}

/// Calls `visit(path relative to the repository, text)` for each file with this extension.
template <class Visitor>
void for_each_file(std::string_view extension, Visitor visit) {
    for (const char* folder : {"protocol", "proxy", "control", "tests"}) {
        for (const auto& entry :
             std::filesystem::recursive_directory_iterator(repository / folder)) {
            if (entry.is_regular_file() && entry.path().extension() == extension) {
                visit(
                    std::filesystem::relative(entry.path(), repository).generic_string(),
                    read_all(entry.path())
                );
            }
        }
    }
}

void expect_no_findings(const findings& found) {
    for (const std::string& finding : found) {
        ADD_FAILURE() << finding;
    }
}

TEST(Repository, SourcesKeepTheHouseRules) {
    std::size_t count = 0;
    for (const char* extension : {".cpp", ".hpp"}) {
        for_each_file(extension, [&](const std::string& path, const std::string& text) {
            expect_no_findings(check_source(source_text(path, text)));
            ++count;
        });
    }
    EXPECT_GT(count, 0U);
}

TEST(Repository, ScriptsKeepTheHouseRules) {
    for_each_file(".py", [](const std::string& path, const std::string& text) {
        expect_no_findings(check_script(path, text));
    });
}

TEST(Repository, EachFolderSaysWhatItIs) {
    for (const char* folder : {"protocol", "proxy", "control", "tests", "configs", "docker"}) {
        const std::string path = std::string(folder) + "/README.md";
        expect_no_findings(check_readme(path, read_all(repository / path)));
    }
}

}  // namespace
}  // namespace pgsluice::tidy
