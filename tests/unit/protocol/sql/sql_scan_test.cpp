#include "protocol/sql/sql_scan.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace pgsluice::protocol {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

sql_scan_result scan(std::string_view text) {
    sql_scan_result found;
    scan_sql(text, found);
    return found;
}

struct row {
    const char* name;
    std::string text;
    std::vector<std::string> names;
};

class SqlScanNames : public testing::TestWithParam<row> {};

TEST_P(SqlScanNames, AreFound) {
    const auto found = scan(GetParam().text);
    EXPECT_EQ(found.names, GetParam().names);
    EXPECT_FALSE(found.names_incomplete);
    EXPECT_THAT(found.name_parameters, IsEmpty());
}

const row name_rows[] = {
    {"Set", "SET app.x = 1", {"app.x"}},
    {"SetTo", "set App.X to 'y'", {"app.x"}},
    {"SetSession", "SET SESSION app.x = 1", {"app.x"}},
    {"SetLocal", "SET\n\tLOCAL app.x = 1", {"app.x"}},
    {"SetQuoted", "SET \"app\".\"X y\" = 1", {"app.x y"}},
    {"SetQuotedWhole", "SET \"app.x\" = 1", {"app.x"}},
    {"SetSpacedDots", "SET app . /* c */ x . y = 1", {"app.x.y"}},
    {"SetCommented", "SET/* /* nested */ */-- line\n app.x=1", {"app.x"}},
    {"SetBuiltIn", "SET work_mem = '1MB'; SET TIME ZONE 'UTC'; SET ROLE r; SET SESSION a = 1", {}},
    {"Reset", "RESET app.x; RESET ALL", {"app.x"}},
    {"Show", "show app.x", {"app.x"}},
    {"Several", "SET a.b=1;SET c.d=2;SET a.b=3", {"a.b", "c.d"}},
    {"Update", "UPDATE t SET c = 1", {}},
    {"UpdateOfACompositeIsHarmless", "UPDATE t SET a.b = 1", {"a.b"}},
    {"SetConfig", "SELECT set_config('app.x', $1, false)", {"app.x"}},
    {"SetConfigQualified", "SELECT pg_catalog.set_config( 'app.x' , 'v', true)", {"app.x"}},
    {"SetConfigQuoted", "SELECT \"set_config\"('app.x', 'v', true)", {"app.x"}},
    {"SetConfigCast", "SELECT set_config('app.x'::pg_catalog.text, 'v', false)", {"app.x"}},
    {"SetConfigNamed", "SELECT set_config(setting_name => 'app.x', new_value => '')", {"app.x"}},
    {"SetConfigDollars", "SELECT set_config($q$app.x$q$, 'v', false)", {"app.x"}},
    {"SetConfigEscape", "SELECT set_config(E'app.x', 'v', false)", {"app.x"}},
    {"SetConfigInAString",
     "DO 'BEGIN PERFORM set_config(''app.x'', ''v'', false); END'",
     {"app.x"}},
    {"SetConfigBuiltIn", "SELECT set_config('work_mem', '1MB', false)", {}},
    {"SetConfigLocalComputed", "SELECT set_config('a.' || k, f(',', (1)), true)", {}},
    {"CurrentSetting", "SELECT * FROM t WHERE o = current_setting('app.o', true)", {"app.o"}},
    {"CurrentSettingComputed", "SELECT current_setting('a.' || b)", {}},
    {"InADollarQuote", "DO $$SET app.x = 1$$", {"app.x"}},
    {"InAString", "DO 'BEGIN EXECUTE ''SET app.x = 1''; END'", {"app.x"}},
    {"OtherWords", "SELECT reset, offset.a, myset a.b, setx.y, showcase c.d FROM sets e.f", {}},
    {"EndsEarly", "SET", {}},
    {"EndsInAComment", "SET /* app.x", {}},
    {"EndsInAQuote", "SET \"app", {}},
    {"ClosingQuoteBehindSet", "INSERT INTO t VALUES ('television set', 'a.b')", {}},
    {"BehindNonAscii", "/*\xc3\xa9*/\xa0SET app.x = 1", {"app.x"}},
};

INSTANTIATE_TEST_SUITE_P(
    Rows,
    SqlScanNames,
    testing::ValuesIn(name_rows),
    [](const testing::TestParamInfo<row>& r) { return std::string(r.param.name); }
);

TEST(SqlScan, SaysWhenNamesAreComputed) {
    for (const std::string_view text : {
             "SELECT set_config(k, v, false) FROM t",
             "SELECT set_config('a.' || k, 'v', false)",
             "SELECT set_config(E'a\\x2eb', 'v', false)",
             "SELECT set_config(U&'a\\002eb', 'v', false)",
             "SELECT set_config('app.'\n'x', 'v', false)",
             "SELECT set_config($1 || 'x', 'v', false)",
             "SELECT set_config(k, 'v', l)",
             "SELECT set_config(k, 'v'",
             "DO $$ BEGIN EXECUTE format('SET %I = %L', a, b); END $$",
             "DO $$ BEGIN EXECUTE 'SET ' || name || ' = 1'; END $$",
             "DO 'BEGIN EXECUTE ''SET '' || name; END'",
             "SET app.\xc3\xa9 = 1",
         }) {
        EXPECT_TRUE(scan(text).names_incomplete) << text;
    }
    EXPECT_FALSE(scan("EXECUTE format('SET LOCAL %I = 1', a)").names_incomplete);
    EXPECT_TRUE(scan("SET /*" + std::string(2000, '*') + "*/ app.x = 1").names_incomplete);
}

TEST(SqlScan, YieldsParametersThatAreNames) {
    const auto found = scan("SELECT set_config($2, $1, false), current_setting($12::text, true)");
    EXPECT_THAT(found.name_parameters, ElementsAre(2, 12));
    EXPECT_FALSE(found.names_incomplete);
    EXPECT_FALSE(found.empty());
}

TEST(SqlScan, SeesUseOfSequenceState) {
    EXPECT_TRUE(scan("SELECT currval('s')").uses_currval);
    EXPECT_TRUE(scan("INSERT INTO c VALUES (LASTVAL ())").uses_currval);
    EXPECT_TRUE(scan("SELECT pg_catalog.\"currval\"('s')").uses_currval);
    EXPECT_FALSE(scan("SELECT nextval('s'), currval_x(1), lastval FROM t").uses_currval);
}

TEST(SqlScan, AddsToWhatWasFoundBefore) {
    sql_scan_result found;
    scan_sql("SET a.b = 1", found);
    scan_sql("SET c.d = lastval()", found);
    EXPECT_THAT(found.names, ElementsAre("a.b", "c.d"));
    EXPECT_TRUE(found.uses_currval);
}

TEST(SqlScan, StopsAtItsLimit) {
    const std::string blank(sql_scan_bytes_max, ' ');
    EXPECT_TRUE(scan(blank + "SET app.x = 1").is_truncated);
    EXPECT_THAT(scan(blank + "SET app.x = 1").names, IsEmpty());
    EXPECT_FALSE(scan(blank).is_truncated);
    // Each word opens a window; smaller ones after the first few.
    std::string hostile;
    while (hostile.size() < sql_scan_bytes_max)
        hostile += "set_config(";
    EXPECT_TRUE(scan(hostile).names_incomplete);
    std::string many;
    for (int i = 0; i < 1000; ++i)
        many += "SET a.b" + std::to_string(i) + "=1;";
    EXPECT_LE(scan(many).names.size(), 256U);
    EXPECT_TRUE(scan(many).names_incomplete);
}

TEST(SqlScan, FindsNothingInOrdinaryStatements) {
    const std::string_view text =
        "/* set */ SELECT a.b, c.d FROM accounts a JOIN c USING (set_id) WHERE 'set' <> $1; "
        "UPDATE t SET x = 1, y = current_setting($1); SET work_mem = 1; SHOW ALL; RESET ALL";
    const auto found = scan(text);
    EXPECT_THAT(found.name_parameters, ElementsAre(1));
    EXPECT_EQ(found.names.capacity(), 0U);
    EXPECT_FALSE(found.names_incomplete);
}

TEST(SqlScan, EverySplitOfATextIsSafe) {
    const std::string text =
        "SET \"a\" . b = E'\\''; SELECT set_config($q$a.b$q$::text, $1, x => f('('))";
    for (std::size_t from = 0; from < text.size(); ++from) {
        for (std::size_t size = 0; from + size <= text.size(); ++size) {
            // An exact heap block: the address sanitizer sees any step over its end.
            const std::vector<char> exact(text.data() + from, text.data() + from + size);
            sql_scan_result found;
            scan_sql({exact.data(), exact.size()}, found);
        }
    }
}

TEST(CustomName, IsLowerCaseAsciiWithADot) {
    EXPECT_EQ(custom_name("App.X"), "app.x");
    EXPECT_EQ(custom_name("work_mem"), "");
    EXPECT_EQ(custom_name("app.\xc3\xa9"), "");
    EXPECT_EQ(custom_name("app.\n"), "");
    EXPECT_EQ(custom_name(std::string(300, 'a') + ".b"), "");
}

}  // namespace
}  // namespace pgsluice::protocol
