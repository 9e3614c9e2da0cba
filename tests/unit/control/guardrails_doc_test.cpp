#include "control/checks.hpp"
#include "control/report_json.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

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
        ASSERT_EQ(rows[i].size(), 6U) << each.name;
        EXPECT_EQ(rows[i][0], "`" + std::string(each.name) + "`");
        EXPECT_EQ(rows[i][1], to_string(each.level)) << each.name;
        EXPECT_EQ(rows[i][2], scope_text(each.scope)) << each.name;
    }
}

TEST(Guardrails, DocumentNamesTestsThatExist) {
    for (const auto& row : rows_of_the_table()) {
        const std::string& planted = row.back();
        if (planted == "-") {
            continue;
        }
        const std::size_t middle = planted.find("`: `");
        ASSERT_NE(middle, planted.npos) << planted;
        const std::string file = planted.substr(1, middle - 1);
        const std::string name = planted.substr(middle + 4, planted.size() - middle - 5);
        const std::string script = read_all(repository / "tests/integration" / file);
        EXPECT_NE(script.find("\ndef " + name + "("), script.npos) << planted;
        if (name == "test_planted") {
            EXPECT_NE(script.find("(\"" + row[0].substr(1, row[0].size() - 2) + '"'), script.npos)
                << row[0];
        }
    }
}

}  // namespace
}  // namespace pgsluice::control
