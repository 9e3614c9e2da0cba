#pragma once

#include "protocol/guard/known_statements.hpp"
#include "protocol/guard/rewording.hpp"
#include "protocol/guard/unnamed_statement.hpp"
#include "protocol/sql/statement_kind.hpp"
#include "protocol/wire/message_types.hpp"
#include "protocol/wire/wire.hpp"

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::protocol {

/// Forced read-only for one session, between its client and its server. Sits at whole messages and
/// has the *server* keep the promise: no statement of the client runs but in a transaction that is
/// READ ONLY and has its snapshot, from where no statement can lead back to READ WRITE ("SET
/// TRANSACTION"). What a statement is taken for decides how well it works, never whether it could
/// write. See read_only_guard.cpp for how.
///
/// Use: at a boundary. on_client() takes one message at a time, where takes() says so; on_server()
/// says what becomes of each message of the server. After each call send what take_to_server()
/// yields. Taking the guard away at a boundary needs no clean-up but what has_taken_unnamed() says.
class read_only_guard {
public:
    /// What becomes of a message of the server.
    enum class reply : std::uint8_t {
        pass,
        drop,     ///< an answer to a message of our own
        replace,  ///< the client gets take_replacement() instead
    };

    read_only_guard(guard_words words, text_rules rules);

    /// A named prepared statement that exists already.
    void knows(std::string_view statement, std::string_view text) {
        statements_.add(statement, text);
    }
    /// The client's unnamed statement, which has come of a Parse message with this body.
    void knows_unnamed(byte_view parse_body);
    /// It has one that nobody knows the text of: it cannot be run.
    void distrusts_unnamed();
    /// There may be prepared statements besides those: they cannot be run.
    void is_told_nothing() noexcept { statements_.distrust_others(); }
    /// standard_conforming_strings or client_encoding has changed.
    void read_by(text_rules rules);

    /// Whether a message of this type can be taken now; else an answer decides how to go on.
    bool takes(char type) const noexcept {
        return wait_ == wait::no || (wait_ == wait::answers_or_sync && type == frontend::Sync);
    }
    /// A message of the client but Terminate.
    void on_client(char type, byte_view body);
    /// A message of the server. `body` may be empty where the type is DataRow, CopyData or one that
    /// is not looked into: all but CommandComplete, ErrorResponse and ReadyForQuery.
    reply on_server(char type, byte_view body);

    std::string take_to_server();
    const std::string& replacement() const noexcept { return replacement_; }

    /// One of ours is where the client's unnamed statement belongs.
    bool has_taken_unnamed() const noexcept { return unnamed_.is_taken; }
    /// The body of the Parse message that brings the client's back; empty if it has none.
    const std::string& unnamed_parse() const noexcept { return unnamed_.now.parse; }

private:
    /// A prepared statement of ours, for a few messages. Begins as script.hpp's names of ours do.
    static constexpr std::string_view private_name = "pgsluice.guard";

    enum class wait : std::uint8_t { no, answers, answers_or_sync, ready };
    enum class asked : std::uint8_t { parse, bind, describe, execute, close, function, sync };
    enum class whose : std::uint8_t {
        client,
        query,  ///< the client's, sent as a Query: it hears nothing of Parse and Bind
        ours,
        denial,  ///< ours, meant to fail in the client's place
    };
    /// What stands behind statements of ours.
    enum class behind : std::uint8_t { other, unnamed, sync };
    enum class then : std::uint8_t { tell_client, call_function, end_block };
    struct answer {
        asked what;
        whose for_whom;
        then next = then::tell_client;                ///< of a Sync
        statement_kind kind = statement_kind::other;  ///< of an Execute
        std::string name{};                           ///< of a Close or Parse: the statement
        bool is_statement = false;                    ///< of a Close: not a portal
        unnamed_statement unnamed{};                  ///< of a Parse without a name
    };
    void expect(asked what, whose for_whom, statement_kind kind = statement_kind::other);
    void forward(char type, byte_view body);

    // what the client sends
    bool on_copy(char type, byte_view body);
    void on_query(byte_view body);
    void run_parts();
    void run_part(std::string_view text);
    void on_parse(byte_view body);
    void on_bind(byte_view body);
    bool prepare_unnamed(statement_kind kind, bool is_bind);
    void on_describe(byte_view body);
    void on_execute(byte_view body);
    void on_close(byte_view body);
    void on_function(byte_view body);
    void sync(whose for_whom, then next);

    // what the server answers
    reply on_answer(char type, byte_view body);
    reply on_error(byte_view body);
    reply on_ready(byte_view body);
    void on_tag(std::string_view tag, statement_kind kind);

    // what is put in between
    bool ensure(statement_kind kind, bool pins_itself = false, behind what = behind::other);
    void deny(const std::string& what);
    void wait_for_answers();
    void run_ours(std::string_view text, whose for_whom = whose::ours, behind what = behind::other);
    std::string_view name_of_ours(behind what);
    void pin(behind what);
    void close_ours(char kind = 'S');
    void roll_back();

    const statement_reading* find(std::string_view name) const;

    /// The transaction block on the server.
    struct block_state {
        bool is_open = false;     ///< as far as known
        bool is_clients = false;  ///< and the client knows of it
        bool is_pinned = false;   ///< and nothing was run in it since it was made sure of
        bool was_run = false;     ///< something was run since the last ReadyForQuery
        bool has_failed = false;  ///< a block of the client's that waits for its ROLLBACK

        /// If nothing but a Sync follows such a statement, it can follow at once: ReadyForQuery
        /// tells what has become of the block. A block of ours would need a COMMIT in between, or
        /// none.
        bool lets_sync_decide(statement_kind kind) const noexcept {
            return is_exact(kind) && (!is_open || is_clients);
        }
    };
    /// The unnamed statement on the server, whose place the client and the guard share.
    struct unnamed_state {
        unnamed_statement now{};       ///< the client's, when all that was sent has run
        unnamed_statement answered{};  ///< the client's, as far as the server has answered
        bool is_taken = false;         ///< see has_taken_unnamed()
        bool is_reused = false;        ///< the client's is, without being parsed again
        bool is_parsed = false;        ///< it has been parsed since the last ReadyForQuery
        bool leaves_none = false;      ///< the client could be in doubt whether there is one

        /// An error: nothing has run behind what failed, so what was answered is there.
        void fall_back() noexcept;
    };
    guard_words words_;
    std::string to_server_;
    std::string replacement_;
    std::deque<answer> answers_;   ///< that are still to come, in order
    known_statements statements_;  ///< the client's, by name
    std::map<std::string, statement_kind, std::less<>> portals_;
    unnamed_state unnamed_;
    block_state block_;
    std::string query_;                    ///< whose parts are being run
    std::vector<std::string_view> parts_;  ///< of it, last one first
    std::string call_;                     ///< body of a FunctionCall that waits for its block
    std::string denied_what_;              ///< of the denial under way
    wait wait_ = wait::no;
    bool in_query_ = false;     ///< between a Query and its ReadyForQuery
    bool is_skipping_ = false;  ///< up to the client's Sync
    bool in_copy_ = false;
    bool is_name_left_ = true;  ///< private_name may be there
    bool may_resume_ = false;   ///< the client's unnamed portal may have rows left
    bool flush_due_ = false;
};

}  // namespace pgsluice::protocol
