#include "control/preflight/checks.hpp"
#include "control/service/report_json.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <utility>

namespace pgsluice::control {
namespace {

const std::filesystem::path repository = PGSLUICE_SOURCE_DIR;

std::string read_all(const std::filesystem::path& path) {
    std::ostringstream out;
    out << std::ifstream(path).rdbuf();
    return out.str();
}

/// The cells of the table's rows, without their padding.
std::vector<std::vector<std::string>> rows_of_the_table() {
    std::istringstream lines(read_all(repository / "docs/guardrails.md"));
    std::vector<std::vector<std::string>> rows;
    for (std::string line; std::getline(lines, line);) {
        if (!line.starts_with("| `")) {
            continue;
        }
        std::vector<std::string> cells;
        for (std::size_t at = 1; at < line.size();) {
            const std::size_t end = line.find('|', at);
            cells.push_back(line.substr(at + 1, end - at - 2));
            at = end + 1;
        }
        rows.push_back(std::move(cells));
    }
    return rows;
}

std::string scope_text(check_scope scope) {
    switch (scope) {
    case scope_all:
        return "all";
    case scope_copies:
        return "none, logical";
    case scope_replicated:
        return "physical, logical";
    case scope_physical:
        return "physical";
    case scope_logical:
        return "logical";
    case scope_none:
        break;
    }
    return "none";
}

TEST(Guardrails, DocumentListsTheTableOfChecks) {
    const auto rows = rows_of_the_table();
    ASSERT_EQ(rows.size(), checks().size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const check& each = checks()[i];
        ASSERT_EQ(rows[i].size(), 6U) << each.name();
        EXPECT_EQ(rows[i][0], "`" + std::string(each.name()) + "`");
        EXPECT_EQ(rows[i][1], to_string(each.level())) << each.name();
        EXPECT_EQ(rows[i][2], scope_text(each.scope)) << each.name();
    }
}

/// The (file, function) pairs in "`FILE`: `FUNCTION`; `FILE`: `FUNCTION`".
std::vector<std::pair<std::string, std::string>> tests_in(const std::string& cell) {
    static const std::regex one("`(test_[a-z_]+\\.py)`: `(test_[a-z_]+)`(; )?");
    std::vector<std::pair<std::string, std::string>> found;
    std::smatch match;
    for (std::string rest = cell; !rest.empty(); rest = match.suffix()) {
        if (!std::regex_search(rest, match, one, std::regex_constants::match_continuous)) {
            return {};
        }
        found.emplace_back(match[1], match[2]);
    }
    return found;
}

TEST(Guardrails, DocumentNamesForEachATestThatExists) {
    for (const auto& row : rows_of_the_table()) {
        const auto planted = tests_in(row.back());
        EXPECT_FALSE(planted.empty()) << row[0] << " has no planted defect: " << row.back();
        for (const auto& [file, name] : planted) {
            const std::string script = read_all(repository / "tests/integration" / file);
            EXPECT_NE(script.find("\ndef " + name + "("), script.npos) << row.back();
            if (name == "test_planted") {
                const std::string check = row[0].substr(1, row[0].size() - 2);
                EXPECT_NE(script.find("(\"" + check + '"'), script.npos) << row[0];
            }
        }
    }
}

}  // namespace
}  // namespace pgsluice::control
