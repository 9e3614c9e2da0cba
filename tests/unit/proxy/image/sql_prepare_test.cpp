#include "proxy/image/sql_prepare.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace pgsluice::proxy {
namespace {

using testing::HasSubstr;

std::string cut(std::string_view name, std::string_view text, bool has_standard_strings = true) {
    const auto found = cut_prepare({name, text, has_standard_strings});
    return found ? std::string(*found) : "refused: " + found.error().detail;
}

TEST(CutPrepare, ReturnsAnOnlyStatementWhole) {
    const std::string_view text = " -- why\n/* ; */ PREPARE a (int) AS SELECT ';', $1 ; -- end";
    EXPECT_EQ(cut("a", text), text);
}

TEST(CutPrepare, CutsTheOneStatementOfThatName) {
    const std::string_view text = "INSERT INTO t VALUES (1); prepare b as select 1; PREPARE "
                                  "\"B;\"\"\" AS SELECT ';' ; SELECT 2";
    EXPECT_EQ(cut("b", text), " prepare b as select 1");
    EXPECT_EQ(cut("B;\"", text), " PREPARE \"B;\"\"\" AS SELECT ';' ");
    EXPECT_THAT(cut("c", text), HasSubstr("no PREPARE"));
}

TEST(CutPrepare, KnowsWhatEndsAStatement) {
    EXPECT_EQ(
        cut("a", "SELECT $$; PREPARE a AS SELECT 1;$$; PREPARE a AS SELECT 2"),
        " PREPARE a AS SELECT 2"
    );
    EXPECT_EQ(
        cut("a", "SELECT E'\\'; PREPARE a AS SELECT 1; '; PREPARE a AS SELECT 2"),
        " PREPARE a AS SELECT 2"
    );
    EXPECT_EQ(
        cut("a", "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2);PREPARE a AS SELECT 2"),
        "PREPARE a AS SELECT 2"
    );
}

TEST(CutPrepare, FoldsAndTruncatesNamesAsTheServerDoes) {
    const std::string name(70, 'X');
    EXPECT_EQ(
        cut(std::string(63, 'x'), "SELECT 1;PREPARE " + name + " AS SELECT 1"),
        "PREPARE " + name + " AS SELECT 1"
    );
    EXPECT_EQ(
        cut("transaction", "SELECT 1;PREPARE transaction AS SELECT 1"),
        "PREPARE transaction AS SELECT 1"
    );
    EXPECT_THAT(cut("transaction", "PREPARE TRANSACTION 'x'"), HasSubstr("no PREPARE"));
}

TEST(CutPrepare, RefusesWhatItCannotBeSureOf) {
    EXPECT_THAT(
        cut("a", "PREPARE a AS SELECT 1; DEALLOCATE a; PREPARE a AS SELECT 2"),
        HasSubstr("more than once")
    );
    EXPECT_THAT(cut("a", "PREPARE a AS SELECT 'unterminated"), HasSubstr("refused"));
    EXPECT_THAT(cut("a", "PREPARE U&\"\\0061\" AS SELECT 1"), HasSubstr("no PREPARE"));
    EXPECT_THAT(cut("a", "PREPARE a AS SELECT '\\'", false), HasSubstr("backslash"));
    EXPECT_EQ(cut("a", "PREPARE a AS SELECT 1", false), "PREPARE a AS SELECT 1");
    EXPECT_THAT(cut("a", std::string(prepare_text_bytes_max + 1, ' ')), HasSubstr("64 KiB"));
}

TEST(CutPrepare, RefusesWhatWouldTakeTheScannerTooLong) {
    std::string nested;
    for (int i = 0; i < 9; ++i)
        nested += "/*";
    EXPECT_THAT(cut("a", nested), HasSubstr("nests"));
    EXPECT_THAT(
        cut("a", "PREPARE a AS SELECT 1 " + std::string(300, '+') + "1"), HasSubstr("operator")
    );
    const std::string banner = "/" + std::string(200, '*') + "/\nPREPARE a AS SELECT 1";
    EXPECT_EQ(cut("a", banner), banner);
}

}  // namespace
}  // namespace pgsluice::proxy
