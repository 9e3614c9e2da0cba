#include "protocol/sql/statement_kind.hpp"

#include <gmock/gmock.h>

#include <string>

namespace pgsluice::protocol {
namespace {

using testing::ElementsAre;

struct row {
    const char* text;
    statement_kind kind;
    const char* means = "";  ///< the recognized text, or what is denied
};

constexpr auto other = statement_kind::other;
constexpr auto begin = statement_kind::begin;
constexpr auto end = statement_kind::end;
constexpr auto chain = statement_kind::chain;
constexpr auto set = statement_kind::set_transaction;
constexpr auto opaque = statement_kind::opaque;
constexpr auto denied = statement_kind::denied;

constexpr row rows[] = {
    {"", other},
    {"SELECT 1", other},
    {"BEGIN", begin, "begin read only"},
    {"begin;", begin, "begin read only"},
    {" /* a /* b */ */ Begin -- c\n Work ;; ", begin, "begin work read only"},
    {"START TRANSACTION ISOLATION LEVEL REPEATABLE READ",
     begin,
     "start transaction isolation level repeatable read read only"},
    {"BEGIN READ ONLY, NOT DEFERRABLE", begin, "begin read only, not deferrable"},
    {"BEGIN READ WRITE", denied, "a READ WRITE transaction"},
    {"BEGIN READ ONLY READ WRITE", denied, "a READ WRITE transaction"},
    {"START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE",
     denied,
     "a READ WRITE transaction"},
    {"BEGIN ISOLATION LEVEL", opaque},
    {"BEGIN nonsense", opaque},
    {"BEGIN; SELECT 1", opaque},
    {"BEGIN /* \xC3\xA9 */", opaque},
    {"START", opaque},
    {"COMMIT", end, "commit"},
    {"END TRANSACTION", end, "end transaction"},
    {"abort work;", end, "abort work"},
    {"ROLLBACK AND NO CHAIN", end, "rollback and no chain"},
    {"COMMIT AND CHAIN", chain, "commit and chain"},
    {"ROLLBACK TO a", other},
    {"ROLLBACK WORK TO SAVEPOINT \"\xC3\xA9\"", other},
    {"COMMIT; INSERT INTO t VALUES (1)", opaque},
    {"COMMIT PREPARED 'x'", denied, "COMMIT PREPARED or ROLLBACK PREPARED"},
    {"PREPARE TRANSACTION 'x'", denied, "PREPARE TRANSACTION"},
    {"PREPARE transaction AS SELECT 1", other},
    {"PREPARE transaction (int) AS SELECT $1", other},
    {"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE",
     set,
     "set transaction isolation level serializable, read only, deferrable"},
    {"SET TRANSACTION SNAPSHOT '00000003-0000001B-1'",
     set,
     "set transaction snapshot '00000003-0000001B-1'"},
    {"SET TRANSACTION READ WRITE", denied, "SET TRANSACTION READ WRITE"},
    {"SET transaction_read_only = off", other},
    {"SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", other},
    {"DISCARD ALL", statement_kind::discard_all, "discard all"},
    {"DISCARD TEMP", other},
    {"EXECUTE p(1)", opaque},
    {"COPY t TO STDOUT", other},
    {"COPY (SELECT a FROM t) TO STDOUT (FORMAT csv)", other},
    {"COPY t FROM STDIN", opaque},
    {"COPY t TO '/tmp/x'", denied, "COPY to or from a file or program of the server"},
    {"COPY \"to\" (a) TO PROGRAM 'cat'", denied, "COPY to or from a file or program of the server"},
    {"SELECT lo_put(1, 0, '')", denied, "lo_put()"},
    {"SELECT \"lo_put\" /* ( */ (1, 0, '')", denied, "lo_put()"},
    {"SELECT pg_catalog.LO_CREAT(-1)", denied, "lo_creat()"},
    {"SELECT U&\"lo\\005fput\"(1, 0, '')", denied, "a function under an escaped name()"},
    {"SELECT 'lo_put(' /* lo_put( */, lo_put FROM t -- lo_put(", other},
    {"SELECT $a$ lo_put( $a$, E'\\' lo_put('", other},
};

TEST(StatementKind, IsTakenFromTheWords) {
    for (const row& each : rows) {
        SCOPED_TRACE(each.text);
        const statement_reading reading = read_statement(each.text, {});
        EXPECT_EQ(reading.kind, each.kind);
        EXPECT_EQ(each.kind == denied ? reading.denied_what : reading.text, each.means);
    }
}

TEST(StatementKind, DeniesMoreWhereStringsAreInDoubt) {
    const text_rules doubtful{.standard_strings = true, .safe_encoding = false};
    EXPECT_EQ(read_statement("SELECT '\\lo_put'", doubtful).kind, denied);
    EXPECT_EQ(read_statement("SELECT '\xE9'", doubtful).kind, other);
    EXPECT_EQ(read_statement("COPY t TO STDOUT -- \xE9", doubtful).kind, denied);
    EXPECT_EQ(read_statement("COPY t TO STDOUT", doubtful).kind, other);
}

TEST(StatementKind, DeniesWhatIsTooLongToRead) {
    const std::string text = "SELECT '" + std::string(statement_bytes_max, 'x') + "'";
    EXPECT_EQ(read_statement(text, {}).kind, denied);
}

TEST(StatementKind, KnowsTheRulesOfASession) {
    EXPECT_TRUE(text_rules::of("on", "UTF8").safe_encoding);
    EXPECT_FALSE(text_rules::of("on", "SJIS").safe_encoding);
    EXPECT_FALSE(text_rules::of("off", "UTF8").standard_strings);
}

TEST(SplitStatements, CutsAtSemicolonsOutsideOfEverything) {
    EXPECT_THAT(split_statements("SELECT 1", {}), ElementsAre("SELECT 1"));
    EXPECT_THAT(split_statements("", {}), ElementsAre(""));
    EXPECT_THAT(split_statements(";;", {}), ElementsAre(";;"));
    EXPECT_THAT(split_statements("a; b ;;c;", {}), ElementsAre("a", " b ", "c"));
    EXPECT_THAT(
        split_statements("a ';' \";\" $$;$$ $x$;$$;$x$ /* ; */ -- ;\n E'\\';' (;); b", {}),
        ElementsAre("a ';' \";\" $$;$$ $x$;$$;$x$ /* ; */ -- ;\n E'\\';' (;)", " b")
    );
}

TEST(SplitStatements, LeavesWholeWhatIsInDoubt) {
    const text_rules old_strings{.standard_strings = false, .safe_encoding = true};
    EXPECT_THAT(split_statements("a 'x\\'; b'; c", old_strings), ElementsAre("a 'x\\'; b'; c"));
    EXPECT_THAT(split_statements("a; b", old_strings), ElementsAre("a", " b"));
    EXPECT_THAT(split_statements("a; 'b", {}), ElementsAre("a; 'b"));
    EXPECT_THAT(split_statements("a; /* b", {}), ElementsAre("a"));
}

}  // namespace
}  // namespace pgsluice::protocol
