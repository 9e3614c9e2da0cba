#include "protocol/messages.hpp"
#include "protocol/read_only_guard.hpp"

#include <gtest/gtest.h>

#include <sstream>
#include <string>

namespace pgsluice::protocol {
namespace {

/// A guard between a client and a server of words. What goes to the server is written as one word a
/// message: `P:name:text`, `B:portal:name`, `E:portal`, and the type alone for the rest. Two runs
/// of ours have words of their own: `begin` (and commit, again, rollback, denial) and `pin`.
class guarded {
public:
    std::string client(const std::string& type, const std::string& body = {}) {
        guard.on_client(type[0], as_bytes(body));
        return sent();
    }
    std::string query(const std::string& text) { return client("Q", text + std::string(1, '\0')); }
    std::string parse(const std::string& name, const std::string& text) {
        return client("P", name + std::string(1, '\0') + text + std::string(3, '\0'));
    }
    std::string bind(const std::string& name, const std::string& portal = {}) {
        return client("B", portal + std::string(1, '\0') + name + std::string(7, '\0'));
    }
    std::string execute(const std::string& portal = {}) {
        return client("E", portal + std::string(5, '\0'));
    }

    /// Messages of the server, a word each: `1`, `C:TAG`, `E:SQLSTATE`, `Z:I`. Yields what the
    /// client sees of them, and behind `>` what went to the server.
    std::string server(const std::string& words) {
        std::istringstream in(words);
        std::string seen;
        for (std::string word; in >> word;) {
            std::string rest = word.size() > 1 ? word.substr(2) : "";
            std::replace(rest.begin(), rest.end(), '_', ' ');
            std::string body = word[0] == 'C' ? rest + std::string(1, '\0') : rest;
            if (word[0] == 'E') {
                body.clear();
                encode_error_response(body, severity::error, {rest, "m", {}, {}});
                body.erase(0, 5);
            }
            const auto reply = guard.on_server(word[0], as_bytes(body));
            if (reply == read_only_guard::reply::pass) {
                seen += word + " ";
            } else if (reply == read_only_guard::reply::replace) {
                const auto body_now = as_bytes(guard.replacement()).subspan(5);
                const auto fields = decode_error_response(body_now);
                seen += "E:" + std::string(fields->sqlstate) + (fields->hint.empty() ? " " : "! ");
            }
        }
        return seen + "> " + sent();
    }

    read_only_guard guard{{"app"}, {}};

private:
    static std::string word_of(char type, byte_view body) {
        std::string word(1, type);
        if (type == 'P') {
            const auto message = decode_parse(body);
            return word + ":" + std::string(message->statement) + ":" + std::string(message->query);
        }
        if (type == 'B') {
            const auto message = decode_bind(body);
            return word + ":" + std::string(message->portal) + ":" +
                   std::string(message->statement);
        }
        return type == 'E' ? word + ":" + std::string(*reader(body).cstring()) : word;
    }

    static void shorten(std::string& text, const std::string& from, const std::string& to) {
        for (auto at = text.find(from); at != text.npos; at = text.find(from)) {
            text.replace(at, from.size(), to);
        }
    }

    std::string sent() {
        const std::string bytes = guard.take_to_server();
        std::string words;
        for (std::size_t at = 0; at < bytes.size();) {
            const byte_view rest = as_bytes(bytes).subspan(at);
            const std::uint32_t length = load_u32(rest.data() + 1);
            words += word_of(static_cast<char>(rest[0]), rest.subspan(5, length - 4)) + " ";
            at += length + 1;
        }
        shorten(words, "P::SELECT 1 P", "pin P");
        const std::pair<const char*, const char*> ours[] = {
            {"BEGIN READ ONLY, NOT DEFERRABLE", "begin"},
            {"SET TRANSACTION READ ONLY", "again"},
            {"COMMIT", "commit"},
            {"ROLLBACK", "rollback"},
            {"CREATE TEMPORARY TABLE \"pgsluice: forced read-only\" ()", "denial"}};
        for (const auto& [text, name] : ours) {
            const std::string named = "P:pgsluice.guard:" + std::string(text);
            shorten(words, "C " + named + " B::pgsluice.guard E: C ", std::string(name) + " ");
            shorten(words, "P::" + std::string(text) + " B:: E: ", std::string(name) + " ");
        }
        shorten(words, "C P:pgsluice.guard:SELECT 1 C ", "pin ");
        return words;
    }
};

/// The server's answers to the words above.
constexpr const char* begun = "1 2 C:BEGIN 1 ";     // begin pin, unnamed
constexpr const char* committed = "1 2 C:COMMIT ";  // commit, unnamed
constexpr const char* named_begun = "3 1 2 C:BEGIN 3 3 1 3 ";
constexpr const char* named_committed = "3 1 2 C:COMMIT 3 ";

TEST(ReadOnlyGuard, WrapsAQueryInOnePipeline) {
    guarded g;
    EXPECT_EQ(g.query("x"), "begin pin P::x B:: D E: commit S ");
    EXPECT_FALSE(g.guard.takes_more());
    EXPECT_EQ(
        g.server(std::string(begun) + "1 2 T D C:SELECT_1 " + committed + "Z:I"),
        "T D C:SELECT_1 Z:I > "
    );
    EXPECT_TRUE(g.guard.takes_more());
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
    EXPECT_EQ(g.query("BEGIN"), "P::begin read only B:: D E: H ");
    EXPECT_EQ(g.server("1 2 n C:BEGIN"), "C:BEGIN > S ");
    EXPECT_EQ(g.server("Z:T"), "Z:T > ");
    EXPECT_EQ(g.query("x"), "pin P::x B:: D E: S ");
    EXPECT_EQ(g.server("1 1 2 n C:SELECT_0 Z:T"), "C:SELECT_0 Z:T > ");
    EXPECT_EQ(g.query("x"), "pin P::x B:: D E: S ");
    EXPECT_EQ(g.server("1 E:22012 Z:E"), "E:22012 Z:E > ");
    EXPECT_EQ(g.query("x"), "P::x B:: D E: S ");
    EXPECT_EQ(g.server("E:25P02 Z:E"), "E:25P02 Z:E > ");
    EXPECT_EQ(g.query("ROLLBACK"), "P::rollback B:: D E: H ");
    EXPECT_EQ(g.server("1 2 n C:ROLLBACK"), "C:ROLLBACK > S ");
    EXPECT_EQ(g.server("Z:I"), "Z:I > ");
}

TEST(ReadOnlyGuard, WrapsAnExtendedGroup) {
    guarded g;
    EXPECT_EQ(g.parse("", "x"), "begin pin P::x ");
    EXPECT_EQ(g.bind(""), "B:: ");
    EXPECT_EQ(g.execute(), "E: ");
    EXPECT_EQ(g.client("S"), "commit S ");
    EXPECT_EQ(
        g.server(std::string(begun) + "1 2 C:SELECT_0 " + named_committed + "Z:I"),
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

TEST(ReadOnlyGuard, SparesTheUnnamedStatement) {
    guarded g;
    g.guard.knows("", "SELECT 2");
    EXPECT_EQ(g.bind(""), "begin pin B:: ");
    EXPECT_EQ(g.execute(), "E: ");
    EXPECT_EQ(g.server(std::string(named_begun) + "2 C:SELECT_0"), "2 C:SELECT_0 > ");
}

TEST(ReadOnlyGuard, AssertsReadOnlyAgainBehindEachExecute) {
    guarded g;
    g.parse("", "x");
    g.bind("");
    g.execute();
    EXPECT_EQ(g.execute(), "again pin E: ");
    EXPECT_EQ(g.parse("", "y"), "again pin P::y ");
    EXPECT_EQ(g.bind(""), "B:: ");
}

TEST(ReadOnlyGuard, ReplacesWhatControlsTransactionsByItsOwnText) {
    guarded g;
    EXPECT_EQ(
        g.parse("b", "BEGIN ISOLATION LEVEL SERIALIZABLE"),
        "P:b:BEGIN ISOLATION LEVEL SERIALIZABLE "
    );
    EXPECT_EQ(
        g.bind("b", "p"),
        "C P:pgsluice.guard:begin isolation level serializable read only "
        "B:p:pgsluice.guard C "
    );
    EXPECT_EQ(g.execute("p"), "E:p H ");
    EXPECT_FALSE(g.guard.takes_more());
    EXPECT_EQ(g.server("1 3 1 2 3 C:BEGIN"), "1 2 C:BEGIN > ");
    EXPECT_EQ(g.client("S"), "S ");
    EXPECT_EQ(g.server("Z:T"), "Z:T > ");
}

TEST(ReadOnlyGuard, BeginsAnewBehindACommitInAPipeline) {
    guarded g;
    g.parse("", "COMMIT");
    g.bind("");
    g.execute();
    EXPECT_EQ(g.server("1 3 1 2 3 C:COMMIT"), "1 2 C:COMMIT > ");
    EXPECT_EQ(g.parse("", "INSERT"), "begin pin P::INSERT ");
}

TEST(ReadOnlyGuard, SkipsToTheSyncBehindAnError) {
    guarded g;
    g.parse("", "x");
    EXPECT_EQ(g.server(std::string(begun) + "E:42601"), "E:42601 > ");
    EXPECT_EQ(g.bind(""), "");
    EXPECT_EQ(g.query("x"), "");
    EXPECT_EQ(g.client("S"), "S ");
    EXPECT_EQ(g.server("Z:E"), "> rollback S ");
    EXPECT_EQ(g.server("3 1 2 C:ROLLBACK 3 Z:I"), "Z:I > ");
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
    g.guard.knows("", "SELECT 2");
    g.guard.knows("w", "COPY t TO PROGRAM 'cat'");
    g.guard.knows("r", "SELECT 1");
    EXPECT_EQ(g.bind("w"), "begin pin denial H ");
    g.server(std::string(named_begun) + "3 1 2 E:25006");
    g.client("S");
    g.server("Z:E 3 1 2 C:ROLLBACK 3 Z:I");
    EXPECT_EQ(g.bind("r"), "begin pin B::r ");
}

TEST(ReadOnlyGuard, RunsNothingThatItWasNotTold) {
    guarded g;
    g.guard.knows("", "SELECT 2");
    g.guard.is_told_nothing();
    EXPECT_EQ(g.bind("x"), "begin pin denial H ");
}

TEST(ReadOnlyGuard, CallsAFunctionInABlockThatStands) {
    guarded g;
    g.guard.knows("", "SELECT 2");
    const std::string read("\0\0\x03\xB8 rest", 9);
    EXPECT_EQ(g.client("F", read), "begin pin S ");
    EXPECT_EQ(g.server(std::string(named_begun) + "Z:T"), "> F ");
    EXPECT_EQ(g.server("V Z:T"), "V > commit S ");
    EXPECT_EQ(g.server(std::string(named_committed) + "Z:I"), "Z:I > ");
    const std::string lo_creat("\0\0\x03\xBD rest", 9);
    EXPECT_EQ(g.client("F", lo_creat), "begin pin denial commit S ");
}

TEST(ReadOnlyGuard, CallsNoFunctionWhereTheBlockDoesNotStand) {
    guarded g;
    g.guard.knows("", "SELECT 2");
    g.client("F", std::string("\0\0\x03\xB8 rest", 9));
    EXPECT_EQ(g.server("3 1 E:57014 Z:I"), "E:57014 Z:I > ");
    EXPECT_TRUE(g.guard.takes_more());
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
