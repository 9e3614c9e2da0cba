// The client's unnamed statement, whose place the guard borrows.
#include "tests/unit/protocol/guard/guarded.hpp"

#include <gtest/gtest.h>

#include <string>

namespace pgsluice::protocol {
namespace {

TEST(UnnamedStatement, SendsTheUnnamedStatementAgainBeforeItIsUsed) {
    guarded g;
    EXPECT_EQ(g.parse("", "SELECT 2"), "begin P::SELECT 2 ");
    EXPECT_EQ(g.client("S"), "commit S ");
    g.server("1 2 C:BEGIN 1 " + std::string(committed) + "Z:I");
    EXPECT_TRUE(g.guard.has_taken_unnamed());
    EXPECT_EQ(g.guard.unnamed_parse(), std::string("\0SELECT 2\0\0\0", 12));
    EXPECT_EQ(g.bind(""), "begin P::SELECT 2 B:: ");
    EXPECT_EQ(g.execute(), "E: ");
    EXPECT_EQ(g.client("S"), "C named-commit S ");
    EXPECT_EQ(
        g.server("1 2 C:BEGIN 1 2 C:SELECT_0 3 " + std::string(committed) + "3 Z:I"),
        "2 C:SELECT_0 Z:I > "
    );
    EXPECT_FALSE(g.guard.has_taken_unnamed());
}

TEST(UnnamedStatement, LeavesAnUnnamedStatementInPlaceThatIsUsedAgain) {
    guarded g;
    g.parse("", "SELECT 2");
    g.client("S");
    g.server("1 2 C:BEGIN 1 " + std::string(committed) + "Z:I");
    g.bind("");
    g.client("S");
    g.server("1 2 C:BEGIN 1 2 3 " + std::string(committed) + "3 Z:I");
    EXPECT_EQ(g.bind(""), "named-begin B:: ");
    EXPECT_EQ(g.execute(), "E: ");
    EXPECT_EQ(g.bind(""), "named-again B:: ");
    EXPECT_EQ(g.client("S"), "named-commit S ");
    g.server("1 2 C:BEGIN 3 2 C:SELECT_0 1 2 C:SET 3 2 " + std::string(committed) + "3 Z:I");
    EXPECT_EQ(g.client("D", std::string("S\0", 2)), "named-begin named-pin D ");
    EXPECT_EQ(g.bind(""), "B:: ");
    EXPECT_EQ(g.client("S"), "named-commit S ");
    g.server("1 2 C:BEGIN 3 1 3 t T 2 " + std::string(committed) + "3 Z:I");
    EXPECT_EQ(g.bind("n"), "begin P::SELECT 1 B::n ");
    EXPECT_TRUE(g.guard.has_taken_unnamed());
}

TEST(UnnamedStatement, PinsBeforeAnUnnamedStatementThatDoesNot) {
    guarded g;
    g.knows_unnamed("SELECT 2");
    EXPECT_EQ(g.bind(""), "C named-begin named-pin B:: ");
    guarded h;
    h.parse("", "SHOW x");
    h.client("S");
    h.server("1 2 C:BEGIN 1 1 " + std::string(committed) + "Z:I");
    EXPECT_EQ(h.bind(""), "begin pin P::SHOW x B:: ");
}

TEST(UnnamedStatement, LeavesAnUnnamedStatementInPlaceThatCouldMeanSomethingElseNow) {
    guarded g;
    g.knows_unnamed("SELECT '\\'");
    EXPECT_EQ(g.bind("n"), "C named-begin named-pin B::n ");
    EXPECT_EQ(g.execute(), "E: ");
    EXPECT_EQ(g.execute(), "named-again named-pin E: ");
    EXPECT_EQ(g.client("S"), "named-commit S ");
    EXPECT_FALSE(g.guard.has_taken_unnamed());
}

TEST(UnnamedStatement, SendsNothingAgainBehindWhatMayHaveChangedItsMeaning) {
    guarded g;
    EXPECT_EQ(g.parse("", "SELECT '\\'"), "begin P::SELECT '\\' ");
    g.client("S");
    g.server("1 2 C:BEGIN 1 " + std::string(committed) + "Z:I");
    EXPECT_EQ(g.bind("s"), "begin P::SELECT 1 B::s ");
    g.execute();
    EXPECT_EQ(g.bind(""), "again pin denial H ");
    g.server("1 2 C:BEGIN 1 2 C:SET 1 2 C:SET 1 1 2 E:25006");
    g.client("S");
    g.server("Z:E 1 2 C:ROLLBACK Z:I");
    EXPECT_EQ(g.bind(""), "begin P::SELECT '\\' B:: ");
    EXPECT_EQ(g.client("S"), "C named-commit S ");
    g.server("1 2 C:BEGIN 1 2 3 " + std::string(committed) + "3 Z:I");
    g.bind("s");
    g.client("S");
    g.server("1 2 C:BEGIN 1 2 " + std::string(committed) + "Z:I");
    g.guard.read_by({false, true});
    EXPECT_EQ(g.bind(""), "begin pin denial H ");
}

TEST(UnnamedStatement, KnowsWhichUnnamedStatementAnErrorHasLeft) {
    guarded g;
    g.parse("", "SELECT 2");
    g.client("S");
    g.server("1 2 C:BEGIN 1 " + std::string(committed) + "Z:I");
    EXPECT_EQ(g.parse("n", "bad"), "begin pin P:n:bad ");
    EXPECT_EQ(g.parse("", "SELECT 3"), "P::SELECT 3 ");
    EXPECT_EQ(g.server(std::string(begun) + "E:42601"), "E:42601 > ");
    g.client("S");
    g.server("Z:E 1 2 C:ROLLBACK Z:I");
    EXPECT_EQ(g.bind(""), "begin P::SELECT 2 B:: ");
    g.client("S");
    g.server("1 2 C:BEGIN 1 2 3 " + std::string(committed) + "3 Z:I");
    EXPECT_EQ(g.parse("", "SELECT bad"), "begin P::SELECT bad ");
    g.server("1 2 C:BEGIN E:42703");
    g.client("S");
    EXPECT_EQ(g.server("Z:E"), "> rollback C S ");
    EXPECT_FALSE(g.guard.has_taken_unnamed());
}

}  // namespace
}  // namespace pgsluice::protocol
