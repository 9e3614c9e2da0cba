// The house rules as a test: first that each rule can fail, on snippets that break it and snippets
// that only look as if; then every source of this repository.
#include "tests/tidy/rooms.hpp"
#include "tests/tidy/rules.hpp"
#include "tests/tidy/snippets.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
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
    EXPECT_THAT(check_readme("a/README.md", "", 60), Contains(HasSubstr("missing")));
    EXPECT_THAT(
        check_readme("a/README.md", repeated("x\n", 61), 60), Contains(HasSubstr("60 lines"))
    );
    EXPECT_THAT(check_readme("a/README.md", repeated("x\n", 60), 60), IsEmpty());
}

TEST(TidyRules, FlagFullFolders) {
    EXPECT_THAT(check_folder("control/a", 31, 30), Contains(HasSubstr("holds 31 sources")));
    EXPECT_THAT(check_folder("control/a", 30, 30), IsEmpty());
}

TEST(TidyRules, FlagSourcesThatSayNothingOfThemselves) {
    const auto opening_of = [](std::string path, std::string text) {
        return check_opening(source_text(std::move(path), std::move(text)));
    };
    EXPECT_THAT(opening_of("proxy/net/a.cpp", "int x;\n"), Contains(HasSubstr("does not open")));
    EXPECT_THAT(opening_of("proxy/net/a.cpp", "// What x is for.\nint x;\n"), IsEmpty());
    EXPECT_THAT(opening_of("proxy/net/a.hpp", "#pragma once\n"), IsEmpty());
}

TEST(TidyRules, FlagTablesOfRooms) {
    const std::vector<room> circle{{"a/x", {"a/y"}}, {"a/y", {"a/z"}}, {"a/z", {"a/x/b.hpp"}}};
    EXPECT_THAT(check_table(circle), Contains(HasSubstr("circle of rooms through a/x")));
    const std::vector<room> unknown{{"a/x", {"a/y"}}};
    EXPECT_THAT(check_table(unknown), Contains(HasSubstr("a/x sees no room: a/y")));
    const std::vector<room> twice{{"a/x", {}}, {"a/x", {}}};
    EXPECT_THAT(check_table(twice), Contains(HasSubstr("a/x is named twice")));
    const std::vector<room> library{{"a/x", {}, {"curl/"}}};
    EXPECT_THAT(check_table(library), Contains(HasSubstr("a/x lists no guarded library: curl/")));
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
            const source_text source(path, text);
            expect_no_findings(check_source(source));
            expect_no_findings(check_opening(source));
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

TEST(Repository, TheTableOfRoomsHasNoCircle) {
    expect_no_findings(check_table(rooms));
}

std::size_t sources_in(const std::filesystem::path& folder) {
    const auto entries = std::filesystem::directory_iterator(folder);
    return static_cast<std::size_t>(std::count_if(begin(entries), end(entries), [](const auto& e) {
        return e.path().extension() == ".cpp" || e.path().extension() == ".hpp";
    }));
}

TEST(Repository, RoomsExistAndAreNotFull) {
    for (const room& each : rooms) {
        const std::string path(each.path);
        if (path.ends_with(".cpp")) {
            EXPECT_TRUE(std::filesystem::is_regular_file(repository / path)) << path;
            continue;
        }
        ASSERT_TRUE(std::filesystem::is_directory(repository / path)) << path;
        expect_no_findings(check_folder(path, sources_in(repository / path), room_sources_max));
        const std::string readme = path + "/README.md";
        expect_no_findings(
            check_readme(readme, read_all(repository / readme), room_readme_lines_max)
        );
    }
    for (const std::string folder : {"protocol", "proxy", "control"}) {
        expect_no_findings(check_folder(folder, sources_in(repository / folder), top_sources_max));
    }
}

TEST(Repository, EachFolderSaysWhatItIs) {
    for (const char* folder : {"protocol", "proxy", "control", "tests", "configs", "docker"}) {
        const std::string path = std::string(folder) + "/README.md";
        expect_no_findings(check_readme(path, read_all(repository / path), readme_lines_max));
    }
}

}  // namespace
}  // namespace pgsluice::tidy
