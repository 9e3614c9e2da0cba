#include "protocol/conversation/session_state.hpp"
#include "tests/unit/protocol/conversation/conversation.hpp"
#include "tests/unit/protocol/conversation/golden_conversations.hpp"

#include <gmock/gmock.h>

#include <sstream>
#include <string>

namespace pgsluice::protocol {
namespace {

void show(session_state& state, bool from_client, char type, char status) {
    if (from_client) {
        state.on_frontend(static_cast<std::uint8_t>(type));
    } else {
        state.on_backend(static_cast<std::uint8_t>(type), status);
    }
}

TEST(SessionState, FollowsRecordedConversations) {
    for (const auto& talk : parse_conversations(golden_conversations)) {
        session_state state;
        int number = 0;
        for (const auto& line : talk.lines) {
            SCOPED_TRACE(talk.name + ", message " + std::to_string(++number) + " " + line.type);
            show(state, line.from_client, line.type, line.body.empty() ? 'I' : line.body[0]);
            ASSERT_EQ(state.at_boundary(), line.then == expectation::boundary);
            if (line.then == expectation::unknowable) {
                ASSERT_TRUE(state.uncertain());
            }
        }
    }
}

/// Runs a script of tokens: `>T` a message to the backend, `<T` one from it, `<ZI` ReadyForQuery.
/// Behind a token `*` says that the session is at a boundary there, `?` that the state is
/// uncertain,
/// `+` that the client may be held because answers will come. Yields the script as observed.
std::string observe(const std::string& script, bool answers) {
    session_state state;
    std::istringstream tokens(script);
    std::string seen;
    for (std::string token; tokens >> token;) {
        while (!token.empty() && std::string("*?+").find(token.back()) != std::string::npos)
            token.pop_back();
        show(state, token[0] == '>', token.at(1), token.size() > 2 ? token[2] : 'I');
        seen += (seen.empty() ? "" : " ") + token;
        seen += state.at_boundary() ? "*" : "";
        seen += state.uncertain() ? "?" : "";
        seen += answers && state.answers_will_come() ? "+" : "";
        EXPECT_FALSE(state.at_boundary() && (state.uncertain() || state.ready_owed() != 0));
    }
    return seen;
}

struct row {
    const char* name;
    const char* script;
};

const row boundary_rows[] = {
    {"simple", ">Q <T <D <C <ZI*"},
    {"simple, failed", ">Q <E <ZI*"},
    {"transaction block", ">Q <C <ZT >Q <D <C <ZT >Q <C <ZI*"},
    {"failed transaction", ">Q <C <ZT >Q <E <ZE >Q <E <ZE >Q <C <ZI*"},
    {"pipelined queries", ">Q >Q >F <C <ZI <C <ZI <V <ZI*"},
    {"FunctionCall", ">F <V <ZI* >F <E <ZI*"},
    {"extended", ">P >B >D >E >S <1 <2 <T <D <C <ZI*"},
    {"bare Sync", ">S <ZI*"},
    {"pipelined groups", ">P >S >B >S >E >S <1 <ZI <2 <ZI <C <ZI*"},
    {"Flush without Sync", ">P >D >H <1 <t <n >S <ZI*"},
    {"portal suspended", ">P >B >E >H <1 <2 <D <s >E >H <D <C >S <ZI*"},
    {"error in a group", ">P >B >E >S <E <ZI*"},
    {"error in a pipeline", ">P >S >P >B >S >P >S <1 <ZI <E <ZI <1 <ZI*"},
    {"Query discarded after an error", ">P >H <E >Q >F >P >E >S <ZI*"},
    {"next group after a discarded one", ">P >H <E >Q >S >Q <ZI <C <ZI*"},
    {"Query instead of Sync", ">P >B >E >Q <1 <2 <C <C <ZI*"},
    {"extended messages behind a Query", ">Q >P <C <ZI <1 >S <ZI*"},
    {"asynchronous messages", "<N* <S* <A* >Q <A <S <N <C <ZI* <A*"},
    {"empty query", ">Q <I <ZI*"},
    {"COPY out", ">Q <H <d <c <C <ZI*"},
    {"COPY in", ">Q <G >d >c <C <ZI*"},
    {"COPY in, refused by the client", ">Q <G >d >f <E <ZI*"},
    {"COPY in, refused by the server", ">Q <G >d <E <ZI* >d* >c*"},
    {"COPY in with Sync inside", ">Q <G >S >S >c <C <ZI*"},
    {"COPY in with Sync before", ">Q >S <G >c <C <ZI*"},
    {"COPY in without waiting", ">Q >d >c <G <C <ZI*"},
    {"COPY in without waiting, then more", ">Q >c >P >S >Q <G <C <ZI <1 <ZI <C <ZI*"},
    {"COPY in twice in a Query", ">Q <G >c <C <G >S >c <C <ZI*"},
    {"COPY in twice, waiting for the second", ">Q >c <G <C <G >S >c <C <ZI*"},
    {"COPY in twice, extended", ">E >S <G >c >S >D >E <C <ZI <T <C >E >S <G >c >S <C <ZI*"},
    {"COPY in, extended", ">P >B >E >H <1 <2 <G >d >c >S <C <ZI*"},
    {"COPY in, Sync swallowed", ">P >B >E >S <1 <2 <G >d >c >S <C <ZI*"},
    {"COPY in, two Syncs swallowed", ">P >B >E >S >S <G >S >c >S <C <ZI*"},
    {"COPY in, extended, without waiting", ">P >B >E >d >c >S <1 <2 <G <C <ZI*"},
    {"COPY in, without waiting, swallowing", ">P >B >E >S >d >c >S <1 <2 <G <C <ZI*"},
    {"COPY in behind a Query without waiting", ">Q >E >c >S <C <ZI <G <C <ZI*"},
    {"COPY in, client waits for more", ">P >B >E >S <G >c <C"},
    {"COPY in, extended, fails unsynced", ">P >B >E >H <G <E >Q >S <ZI*"},
    {"COPY in, extended, early CopyFail", ">P >B >E >f >S <1 <2 <G <E <ZI*"},
    {"COPY in never started", ">P >B >E >S >d >c >S <E <ZI <ZI*"},
    {"CopyDone out of place", ">c* >f* >d* >Q >c <C <ZI* >Q <G >S >c <C <ZI*"},
    {"COPY both", ">Q <W >d <d >c <c <C <ZI*"},
    {"Terminate", ">X*"},
};

TEST(SessionState, KnowsTheBoundary) {
    for (const row& r : boundary_rows)
        EXPECT_EQ(observe(r.script, false), r.script) << r.name;
}

// What the messages leave open, and what settles it.
const row uncertain_rows[] = {
    {"failed COPY that should have swallowed a Sync",
     ">P >B >E >S <G >d >c >S <E? <ZI? >P? <1 >S <ZI*"},
    {"the same, settled by a Query", ">P >B >E >S <G >c >S <E? <ZI? >Q? <T <C <ZI*"},
    {"the same, settled by the other answer", ">P >B >E >S <G >c >S <E? <ZI? <ZI*"},
    {"the other answer while the next group is out",
     ">P >B >E >S <G >c >S <E? <ZI? >P? >S? <ZI <1 <ZI*"},
    {"failed before it read, client had not gone on", ">P >B >E >S <G <E? <ZI*"},
    {"two Syncs that should have been swallowed", ">P >B >E >S >S <G <E? <ZI? <ZI*"},
    {"Sync, which tells nothing", ">P >B >E >S <G >c >S <E? <ZI? >S? <ZI? >P? <1 >S <ZI*"},
    {"Query that may be discarded", ">P >B >E >S <G <E? >Q? <ZI? >Q? <C? <ZI?"},
    {"simple COPY that should have swallowed a Sync", ">Q >S <G <E? <ZI? <ZI*"},
    {"Query behind unsynced messages of which one failed", ">P >Q >S <E? <ZI? <ZI? >Q? <C? <ZI?"},
    {"the same in a later group", ">P >S >P >Q >S <E <ZI <1 <C <ZI <ZI*"},
    {"ReadyForQuery out of nowhere", "<ZI?"},
    {"simple COPY with a Query behind it", ">Q >S <G >c >Q <E? <ZI? <C <ZI*"},
    {"messages that may be discarded", ">E >S <G >P <E? <ZI? >S? <1? <ZI?"},
    {"COPY that ends before CopyDone", ">Q <G >S <C? <ZI? >Q? <C? <ZI?"},
    {"COPY that ends with neither answer", ">Q <G >S <ZI? <E? >Q? <C? <ZI?"},
};

TEST(SessionState, ClaimsNothingItCannotKnow) {
    for (const row& r : uncertain_rows)
        EXPECT_EQ(observe(r.script, false), r.script) << r.name;
}

const row holding_rows[] = {
    {"a complete request", ">Q+ <C+ <ZI*"},
    {"a transaction that goes on", ">Q+ <C+ <ZT >Q+ <C+ <ZI*"},
    {"unsynced messages", ">P >B >S+ <1+ <2+ <ZI*"},
    {"an answered request behind which more began", ">Q+ >P <C <ZI >S+ <1+ <ZI*"},
    {"COPY needs its client", ">Q+ <G >d >c+ <C+ <ZI*"},
    {"swallowed Sync needs another", ">P >E >S+ <G >c >S+ <C+ <ZI*"},
    {"error before a Sync needs the Sync", ">P >H <E >S+ <ZI*"},
};

TEST(SessionState, KnowsWhenTheClientMayBeHeld) {
    for (const row& r : holding_rows)
        EXPECT_EQ(observe(r.script, true), r.script) << r.name;
}

TEST(SessionState, RemembersTheTransactionStatus) {
    session_state state;
    EXPECT_TRUE(state.at_boundary());
    EXPECT_EQ(state.transaction_status(), 'I');
    for (const char status : {'T', 'E', 'I'}) {
        state.on_frontend('Q');
        state.on_backend('C');
        state.on_backend('Z', status);
        EXPECT_EQ(state.transaction_status(), status);
        EXPECT_EQ(state.at_boundary(), status == 'I');
    }
}

TEST(SessionState, FollowsDeepPipelines) {
    for (const int depth : {1, 64, 65, 1000}) {
        session_state state;
        for (int i = 0; i < depth; ++i) {
            for (const char type : {'P', 'B', 'E', 'S', 'Q'})
                state.on_frontend(static_cast<std::uint8_t>(type));
        }
        EXPECT_EQ(state.ready_owed(), static_cast<std::size_t>(2 * depth));
        for (int i = 0; i < depth; ++i) {
            for (const char type : {'1', '2', 'C', 'Z', 'C', 'Z'}) {
                EXPECT_FALSE(state.at_boundary());
                state.on_backend(static_cast<std::uint8_t>(type));
            }
        }
        EXPECT_TRUE(state.at_boundary()) << depth;
    }
}

TEST(SessionState, ToleratesAnyByteAsType) {
    session_state state;
    for (int type = 0; type < 256; ++type) {
        state.on_frontend(static_cast<std::uint8_t>(type));
        state.on_backend(static_cast<std::uint8_t>(type), 'x');
    }
    EXPECT_FALSE(state.at_boundary());
}

}  // namespace
}  // namespace pgsluice::protocol
