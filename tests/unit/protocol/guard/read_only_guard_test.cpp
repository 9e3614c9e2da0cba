#include "tests/unit/protocol/guard/guarded.hpp"

#include <gtest/gtest.h>

#include <string>

namespace pgsluice::protocol {
namespace {

TEST(ReadOnlyGuard, WrapsAQueryInOnePipeline) {
    guarded g;
    EXPECT_EQ(g.query("x"), "begin pin P::x B:: D E: commit S ");
    EXPECT_FALSE(g.guard.takes('Q'));
    EXPECT_EQ(
        g.server(std::string(begun) + "1 2 T D C:SELECT_1 " + committed + "Z:I"),
        "T D C:SELECT_1 Z:I > "
    );
    EXPECT_TRUE(g.guard.takes('Q'));
}

TEST(ReadOnlyGuard, AssertsReadOnlyAgainBetweenTheStatementsOfAQuery) {
    guarded g;
    EXPECT_EQ(g.query("x; y"), "begin pin P::x B:: D E: again pin P:: y B:: D E: commit S ");
}

TEST(ReadOnlyGuard, EndsABlockThatFailed) {
    guarded g;
    g.query("x");
    EXPECT_EQ(g.server(std::string(begun) + "E:25006 Z:E"), "E:25006! > rollback S ");
    EXPECT_EQ(g.server("1 2 C:ROLLBACK Z:I"), "Z:I > ");
}

TEST(ReadOnlyGuard, LeavesTheClientsBlockOpen) {
    guarded g;
    EXPECT_EQ(g.query("BEGIN"), "P::begin read only B:: D E: S ");
    EXPECT_EQ(g.server("1 2 n C:BEGIN Z:T"), "C:BEGIN Z:T > ");
    EXPECT_EQ(g.query("x"), "pin P::x B:: D E: S ");
    EXPECT_EQ(g.server("1 1 2 n C:SELECT_0 Z:T"), "C:SELECT_0 Z:T > ");
    EXPECT_EQ(g.query("x"), "pin P::x B:: D E: S ");
    EXPECT_EQ(g.server("1 E:22012 Z:E"), "E:22012 Z:E > ");
    EXPECT_EQ(g.query("x"), "P::x B:: D E: S ");
    EXPECT_EQ(g.server("E:25P02 Z:E"), "E:25P02 Z:E > ");
    EXPECT_EQ(g.query("ROLLBACK"), "P::rollback B:: D E: S ");
    EXPECT_EQ(g.server("1 2 n C:ROLLBACK Z:I"), "C:ROLLBACK Z:I > ");
}

TEST(ReadOnlyGuard, WaitsForABeginInsideOfItsOwnBlock) {
    guarded g;
    EXPECT_EQ(g.query("x; BEGIN"), "begin pin P::x B:: D E: P::begin read only B:: D E: H ");
    EXPECT_EQ(
        g.server(std::string(begun) + "1 2 n C:SELECT_0 1 2 n C:BEGIN"), "C:SELECT_0 C:BEGIN > S "
    );
    EXPECT_EQ(g.server("Z:T"), "Z:T > ");
}

TEST(ReadOnlyGuard, LetsASelectTakeTheSnapshotItself) {
    guarded g;
    EXPECT_EQ(g.query("Select 2"), "begin P::Select 2 B:: D E: commit S ");
    g.server("1 2 C:BEGIN 1 2 T C:SELECT_1 1 2 C:COMMIT Z:I");
    EXPECT_EQ(g.query("with x as (y) z"), "begin P::with x as (y) z B:: D E: commit S ");
    g.server("1 2 C:BEGIN 1 2 T C:SELECT_1 1 2 C:COMMIT Z:I");
    EXPECT_EQ(g.parse("n", "SELECT 2"), "begin P:n:SELECT 2 ");
    EXPECT_EQ(g.bind("n"), "B::n ");
    EXPECT_EQ(g.execute(), "E: ");
    EXPECT_EQ(g.parse("", "SELECT 3"), "again P::SELECT 3 ");
}

TEST(ReadOnlyGuard, TakesNothingElseForASelect) {
    for (const char* text :
         {"SELECTS", "SELECT$1", "SELECT\xC3\xA4", "/**/SELECT 1", "(SELECT 1)", "withal", "DO"}) {
        guarded g;
        EXPECT_EQ(g.parse("n", text), "begin pin P:n:" + std::string(text) + " ");
    }
}

TEST(ReadOnlyGuard, WrapsAnExtendedGroup) {
    guarded g;
    EXPECT_EQ(g.parse("", "x"), "begin pin P::x ");
    EXPECT_EQ(g.bind(""), "B:: ");
    EXPECT_EQ(g.execute(), "E: ");
    EXPECT_EQ(g.client("S"), "commit S ");
    EXPECT_EQ(
        g.server(std::string(begun) + "1 2 C:SELECT_0 " + committed + "Z:I"),
        "1 2 C:SELECT_0 Z:I > "
    );
}

TEST(ReadOnlyGuard, UsesTheUnnamedStatementWhereTheClientHasNone) {
    guarded g;
    EXPECT_EQ(g.bind("n"), "begin P::SELECT 1 B::n ");
    EXPECT_EQ(g.execute(), "E: ");
    EXPECT_EQ(g.client("S"), "commit S ");
    EXPECT_EQ(
        g.server(std::string(begun) + "2 C:SELECT_0 " + committed + "Z:I"), "2 C:SELECT_0 Z:I > "
    );
    EXPECT_EQ(g.bind(""), "begin P::SELECT 1 C B:: ");
}

TEST(ReadOnlyGuard, KeepsAPortalThatHasRowsLeft) {
    guarded g;
    EXPECT_EQ(g.bind("n"), "begin P::SELECT 1 B::n ");
    EXPECT_EQ(g.execute("", 10), "E: ");
    EXPECT_EQ(
        g.execute("", 10),
        "C P::SET TRANSACTION READ ONLY B:pgsluice.guard: E:pgsluice.guard C P::SELECT 1 E: "
    );
    EXPECT_EQ(g.client("S"), "commit S ");
}

TEST(ReadOnlyGuard, BeginsAndGoesOnInOnePipeline) {
    guarded g;
    g.parse("", "BEGIN");
    EXPECT_EQ(g.bind(""), "P::begin read only B:: ");
    EXPECT_EQ(g.execute(), "E: ");
    EXPECT_EQ(g.parse("", "SELECT 2"), "P::SELECT 2 ");
    EXPECT_EQ(g.bind(""), "B:: ");
    EXPECT_EQ(g.execute(), "E: ");
    EXPECT_EQ(g.client("S"), "S ");
    EXPECT_EQ(g.server("1 1 2 C:BEGIN 1 2 C:SELECT_1 Z:T"), "1 2 C:BEGIN 1 2 C:SELECT_1 Z:T > ");
    g.parse("", "COMMIT");
    g.bind("");
    EXPECT_EQ(g.execute(), "E: H ");
    EXPECT_FALSE(g.guard.takes('P'));
    EXPECT_TRUE(g.guard.takes('S'));
}

TEST(ReadOnlyGuard, AsksForAnAnswerOnlyWhereNoSyncDoes) {
    guarded g;
    g.guard.on_client('P', as_bytes(std::string("\0COMMIT\0\0\0", 10)));
    g.guard.on_client('B', as_bytes(std::string(8, '\0')));
    g.guard.on_client('E', as_bytes(std::string(5, '\0')));
    EXPECT_EQ(g.client("S"), "P::COMMIT P::commit B:: E: S ");
    EXPECT_EQ(g.server("1 1 2 C:COMMIT Z:I"), "1 2 C:COMMIT Z:I > ");
}

TEST(ReadOnlyGuard, AssertsReadOnlyAgainBehindEachExecute) {
    guarded g;
    g.parse("", "x");
    g.bind("");
    g.execute();
    EXPECT_EQ(g.execute(), "again P::SELECT 1 E: ");
    EXPECT_EQ(g.parse("", "y"), "again pin P::y ");
    EXPECT_EQ(g.bind(""), "B:: ");
}

TEST(ReadOnlyGuard, ReplacesWhatControlsTransactionsByItsOwnText) {
    guarded g;
    EXPECT_EQ(
        g.parse("b", "BEGIN ISOLATION LEVEL SERIALIZABLE"),
        "P:b:BEGIN ISOLATION LEVEL SERIALIZABLE "
    );
    EXPECT_EQ(g.bind("b", "p"), "P::begin isolation level serializable read only B:p: ");
    EXPECT_EQ(g.execute("p"), "E:p ");
    EXPECT_EQ(g.server("1 1 2 C:BEGIN"), "1 2 C:BEGIN > ");
    EXPECT_EQ(g.client("S"), "S ");
    EXPECT_EQ(g.server("Z:T"), "Z:T > ");
}

TEST(ReadOnlyGuard, BeginsAnewBehindACommitInAPipeline) {
    guarded g;
    g.parse("", "COMMIT");
    g.bind("");
    g.execute();
    EXPECT_EQ(g.server("1 1 2 C:COMMIT"), "1 2 C:COMMIT > ");
    EXPECT_EQ(g.parse("", "INSERT"), "begin pin P::INSERT ");
}

TEST(ReadOnlyGuard, SkipsToTheSyncBehindAnError) {
    guarded g;
    g.parse("", "x");
    EXPECT_EQ(g.server(std::string(begun) + "E:42601"), "E:42601 > ");
    EXPECT_EQ(g.bind(""), "");
    EXPECT_EQ(g.query("x"), "");
    EXPECT_EQ(g.client("S"), "S ");
    EXPECT_EQ(g.server("Z:E"), "> rollback C S ");
    EXPECT_EQ(g.server("1 2 C:ROLLBACK 3 Z:I"), "Z:I > ");
}

TEST(ReadOnlyGuard, HasTheServerRefuseWhatIsDenied) {
    guarded g;
    EXPECT_EQ(g.query("SELECT lo_create(0)"), "begin pin denial commit S ");
    EXPECT_EQ(g.server(std::string(begun) + "1 2 E:25006 Z:E"), "E:25006! > rollback S ");
    g.server("1 2 C:ROLLBACK Z:I");
    EXPECT_EQ(g.parse("", "PREPARE TRANSACTION 'x'"), "begin pin denial H ");
    EXPECT_EQ(g.server(std::string(begun) + "1 2 E:25006"), "E:25006! > ");
    EXPECT_EQ(g.bind(""), "");
}

TEST(ReadOnlyGuard, KnowsWhatWasPreparedBefore) {
    guarded g;
    g.knows_unnamed("SELECT 2");
    g.guard.knows("w", "COPY t TO PROGRAM 'cat'");
    g.guard.knows("r", "SELECT 1");
    EXPECT_EQ(g.bind("w"), "begin pin denial H ");
    g.server(std::string(begun) + "1 2 E:25006");
    g.client("S");
    g.server("Z:E 1 2 C:ROLLBACK Z:I");
    EXPECT_EQ(g.bind("r"), "begin P::SELECT 1 B::r ");
}

TEST(ReadOnlyGuard, RunsNothingThatItWasNotTold) {
    guarded g;
    g.knows_unnamed("SELECT 2");
    g.guard.is_told_nothing();
    EXPECT_EQ(g.bind("x"), "begin pin denial H ");
}

TEST(ReadOnlyGuard, CallsAFunctionInABlockThatStands) {
    guarded g;
    g.knows_unnamed("SELECT 2");
    const std::string read("\0\0\x03\xB8 rest", 9);
    EXPECT_EQ(g.client("F", read), "begin P::SELECT 1 S ");
    EXPECT_EQ(g.server(std::string(begun) + "Z:T"), "> F ");
    EXPECT_EQ(g.server("V Z:T"), "V > commit S ");
    EXPECT_EQ(g.server(std::string(committed) + "Z:I"), "Z:I > ");
    const std::string lo_creat("\0\0\x03\xBD rest", 9);
    EXPECT_EQ(g.client("F", lo_creat), "begin pin denial commit S ");
}

TEST(ReadOnlyGuard, CallsNoFunctionWhereTheBlockDoesNotStand) {
    guarded g;
    g.knows_unnamed("SELECT 2");
    g.client("F", std::string("\0\0\x03\xB8 rest", 9));
    EXPECT_EQ(g.server("1 E:57014 Z:I"), "E:57014 Z:I > ");
    EXPECT_TRUE(g.guard.takes('Q'));
}

TEST(ReadOnlyGuard, PassesCopyData) {
    guarded g;
    EXPECT_EQ(g.query("COPY t FROM STDIN"), "begin pin P::COPY t FROM STDIN B:: D E: H ");
    EXPECT_EQ(g.server(std::string(begun) + "1 2 n G"), "G > ");
    EXPECT_EQ(g.client("d", "x"), "d ");
    EXPECT_EQ(g.client("S"), "");
    EXPECT_EQ(g.client("c"), "c H ");
    EXPECT_EQ(g.server("C:COPY_1"), "C:COPY_1 > commit S ");
    EXPECT_EQ(g.client("d", "late"), "");
}

TEST(ReadOnlyGuard, NamesTheOperatorInErrorsThatItCauses) {
    const std::pair<const char*, const char*> codes[] = {
        {"25006", "E:25006! "},
        {"2D000", "E:25006! "},
        {"25001", "E:25006! "},
        {"22012", "E:22012 "},
        {"42601", "E:42601 "}};
    for (const auto& [code, seen] : codes) {
        guarded g;
        g.query("x");
        EXPECT_EQ(g.server(std::string(begun) + "1 2 n E:" + code), std::string(seen) + "> ");
    }
}

}  // namespace
}  // namespace pgsluice::protocol
