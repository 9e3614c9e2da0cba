// How the server is made to keep the promise. Around what the client sends stand statements of
// ours:
//
//   no block open      BEGIN READ ONLY, a Parse that takes the snapshot | client | COMMIT, Sync
//   client's block     a Parse that takes the snapshot                  | client | Sync
//   its BEGIN          is sent with READ ONLY added; COMMIT, ROLLBACK and SET TRANSACTION alone may
//                      run before the snapshot
//
// With the snapshot taken the server refuses to leave READ ONLY, so whatever the client runs cannot
// write. What it can do is end the transaction, openly or hidden in a function: so before the next
// thing that it sends, in one pipeline or not, the same is put in front again. A query string is
// sent as Parse, Bind and Execute, of which the server takes one statement each. All of it goes to
// the server at once, and an error of ours makes it skip what would come unprotected.
//
// Names of ours live for one pipeline, so the session's state stays the client's alone.

#include "protocol/read_only_guard.hpp"

#include "protocol/messages.hpp"
#include "protocol/sql_lexer.hpp"

namespace pgsluice::protocol {

namespace {

constexpr std::string_view begin_text = "BEGIN READ ONLY, NOT DEFERRABLE";
constexpr std::string_view again_text = "SET TRANSACTION READ ONLY";
constexpr std::string_view snapshot_text = "SELECT 1";
/// Refused in every read-only transaction. What the server logs of it should explain itself.
constexpr std::string_view denial_text = "CREATE TEMPORARY TABLE \"pgsluice: forced read-only\" ()";

bool starts_block(std::string_view tag) {
    return tag == "BEGIN" || tag == "START TRANSACTION";
}

bool ends_block(std::string_view tag) {
    return tag == "COMMIT" || tag == "ROLLBACK" || tag == "PREPARE TRANSACTION";
}

}  // namespace

read_only_guard::read_only_guard(guard_words words, text_rules rules)
    : words_(std::move(words)), rules_(rules) {}

std::string read_only_guard::hint() const {
    return "Service \"" + words_.service +
           "\" is forced read-only by an operator; reads work, and writes will again when the "
           "operator ends it (sluicectl readonly off).";
}

void read_only_guard::knows(std::string_view name, std::string_view text) {
    auto reading = read_statement(text, rules_);
    has_unnamed_ = has_unnamed_ || name.empty();
    knows_denied_ = knows_denied_ || reading.kind == statement_kind::denied;
    if (reading.kind != statement_kind::other) {
        statements_.insert_or_assign(std::string(name), std::move(reading));
    }
}

void read_only_guard::distrusts(std::string_view name) {
    knows_denied_ = true;
    has_unnamed_ = has_unnamed_ || name.empty();
    statements_.insert_or_assign(
        std::string(name),
        statement_reading{statement_kind::denied, {}, "a statement whose text is not known"}
    );
}

const statement_reading* read_only_guard::find(std::string_view name) const {
    static const statement_reading unknown{
        statement_kind::denied, {}, "a statement whose text is not known"};
    const auto found = statements_.find(name);
    if (found == statements_.end()) {
        return is_blind_ ? &unknown : nullptr;
    }
    return &found->second;
}

/// The statement is gone, or it is none that matters.
void read_only_guard::forget(const std::string& name) {
    statements_.erase(name);
    if (is_blind_) {
        statements_.insert({name, statement_reading{}});
    }
}

/// A statement's text, with what EXECUTE would run in mind.
statement_reading read_only_guard::read(std::string_view text) const {
    statement_reading reading = read_statement(text, rules_);
    if ((knows_denied_ || is_blind_) && !is_exact(reading.kind) && runs_denied(text)) {
        return {statement_kind::denied, {}, "a statement prepared earlier that could write"};
    }
    return reading;
}

bool read_only_guard::runs_denied(std::string_view text) const {
    using kind = sql_token::kind;
    sql_lexer lexer(text, rules_.standard_strings);
    bool executes = false;
    for (sql_token token = lexer.next(); token.what != kind::end; token = lexer.next()) {
        const bool is_word = token.what == kind::word;
        if (executes && (is_word || token.what == kind::quoted)) {
            const auto* known = find(is_word ? lower_case(token.text) : std::string(token.text));
            return known != nullptr && known->kind == statement_kind::denied;
        }
        executes = executes || token.is("execute");
    }
    return false;
}

void read_only_guard::expect(asked what, whose for_whom, statement_kind kind) {
    answers_.push_back({.what = what, .for_whom = for_whom, .kind = kind});
}

void read_only_guard::forward(char type, byte_view body) {
    writer out(to_server_);
    out.begin_message(type);
    out.bytes(body);
    out.end_message();
}

// --- what is put in between

void read_only_guard::close_ours() {
    encode_close(to_server_, {'S', private_name});
    expect(asked::close, whose::ours);
}

/// Runs one statement and leaves no name behind. Where the unnamed one is the client's, a name that
/// an earlier, interrupted pipeline may have left is closed first.
void read_only_guard::run_ours(std::string_view text, whose for_whom) {
    const std::string_view name = is_unnamed_free_ ? "" : private_name;
    if (!is_unnamed_free_) {
        close_ours();
    }
    encode_parse(to_server_, name, text);
    encode_bind(to_server_, {.statement = name});
    encode_execute(to_server_, "");
    expect(asked::parse, for_whom);
    expect(asked::bind, for_whom);
    expect(asked::execute, for_whom);
    if (!is_unnamed_free_) {
        close_ours();
    }
}

/// Analyzing a query takes the transaction's first snapshot; it need not be run.
void read_only_guard::pin() {
    const std::string_view name = is_unnamed_free_ ? "" : private_name;
    if (!is_unnamed_free_) {
        close_ours();
    }
    encode_parse(to_server_, name, snapshot_text);
    expect(asked::parse, whose::ours);
    if (!is_unnamed_free_) {
        close_ours();
    }
}

/// Whatever the client sends next finds itself in a transaction that cannot write.
void read_only_guard::ensure(statement_kind kind) {
    // A failed block takes nothing but its end; the exact ones are our own texts.
    if (is_exact(kind) || has_failed_ || is_pinned_) {
        return;
    }
    if (!is_block_) {
        run_ours(begin_text);
        is_block_ = true;
        is_clients_ = false;
    } else if (was_run_) {
        run_ours(again_text);  // also right where the block has ended unseen
    }
    pin();
    is_pinned_ = true;
}

/// Has the server refuse something in the client's place, so that its transaction fails as well.
void read_only_guard::deny(const std::string& what) {
    ensure(statement_kind::other);
    denied_what_ = what;
    run_ours(denial_text, whose::denial);
    if (!in_query_) {
        encode_flush(to_server_);
        wait_ = wait::answers;
    }
}

void read_only_guard::roll_back() {
    is_block_ = false;
    run_ours("ROLLBACK");
    sync(whose::ours, then::end_block);
}

// --- what the server answers

read_only_guard::reply read_only_guard::on_server(char type, byte_view body) {
    const answer* const front = answers_.empty() ? nullptr : &answers_.front();
    const bool is_ours = front != nullptr && front->for_whom >= whose::ours;
    switch (type) {
    case backend::ErrorResponse:
        return on_error(body);
    case backend::ReadyForQuery:
        return on_ready(body);
    case backend::NoticeResponse:
        // To a BEGIN inside of a block of ours the server says what the client cannot know.
        return is_ours || (front != nullptr && front->kind == statement_kind::begin && is_block_ &&
                           !is_clients_)
                   ? reply::drop
                   : reply::pass;
    case backend::CopyInResponse:
        in_copy_ = true;
        wait_ = wait::no;
        return reply::pass;
    case backend::ParseComplete:
    case backend::BindComplete:
    case backend::CloseComplete:
    case backend::CommandComplete:
    case backend::EmptyQueryResponse:
    case backend::PortalSuspended:
        return on_answer(type, body);
    case backend::RowDescription:
    case backend::NoData:
        return front != nullptr && front->what == asked::describe ? on_answer(type, body)
                                                                  : reply::pass;
    default:  // rows, COPY data, and what comes at any time
        return reply::pass;
    }
}

/// The oldest open question has its answer.
read_only_guard::reply read_only_guard::on_answer(char type, byte_view body) {
    if (answers_.empty()) {
        return reply::pass;
    }
    const answer done = std::move(answers_.front());
    answers_.pop_front();
    const bool is_query = done.for_whom == whose::query;
    const bool is_hidden = is_query && (type == backend::ParseComplete ||
                                        type == backend::BindComplete || type == backend::NoData);
    const bool is_clients = done.for_whom == whose::client || is_query;
    const bool is_plain = done.for_whom == whose::client && done.kind == statement_kind::other;
    if (done.what == asked::execute && is_clients) {
        const auto tag = as_text(body);
        on_tag(tag.substr(0, tag.find('\0')), done.kind);
    } else if (done.is_statement || (done.what == asked::parse && is_plain)) {
        forget(done.name);
    }
    if (wait_ == wait::answers && answers_.empty()) {
        go_on();
    }
    return is_clients && !is_hidden ? reply::pass : reply::drop;
}

void read_only_guard::go_on() {
    wait_ = wait::no;
    if (in_query_) {
        run_parts();
    }
}

void read_only_guard::on_tag(std::string_view tag, statement_kind kind) {
    const bool is_opaque = kind == statement_kind::opaque;
    if (kind == statement_kind::begin || (is_opaque && starts_block(tag))) {
        is_block_ = true;
        is_clients_ = true;
    } else if (kind == statement_kind::end || (is_opaque && ends_block(tag))) {
        is_block_ = false;
        is_clients_ = false;
    } else if (tag == "DISCARD ALL" || tag == "DEALLOCATE ALL") {
        statements_.clear();
        is_blind_ = false;
    }
}

read_only_guard::reply read_only_guard::on_error(byte_view body) {
    in_copy_ = false;
    const answer* const failed = answers_.empty() ? nullptr : &answers_.front();
    const reply told = reworded(body, failed);
    if (failed != nullptr && failed->what == asked::function) {
        return told;  // its ReadyForQuery comes by itself
    }
    while (!answers_.empty() && answers_.front().what != asked::sync) {
        answers_.pop_front();
    }
    parts_.clear();
    if (!in_query_) {  // which unnamed statement is there now?
        statements_.insert_or_assign(
            std::string(), statement_reading{statement_kind::opaque, {}, {}}
        );
    }
    if (answers_.empty()) {
        is_skipping_ = true;
        wait_ = wait::no;
        if (in_query_) {
            sync(whose::query, then::tell_client);
        }
        return told;
    }
    // Nobody wants to hear why the end of a failed block failed: it is tried again.
    return answers_.front().next == then::end_block ? reply::drop : told;
}

/// Errors that come from the read-only transaction become 25006, with a hint whom to ask.
read_only_guard::reply read_only_guard::reworded(byte_view body, const answer* failed) {
    const auto fields = decode_error_response(body);
    if (!fields) {
        return reply::pass;
    }
    replacement_.clear();
    const std::string_view code = fields->sqlstate;
    const bool is_read_only = code == sqlstate::read_only_sql_transaction;
    if (is_read_only && failed != nullptr && failed->for_whom == whose::denial) {
        const failure refusal{
            std::string(code),
            "cannot execute " + denied_what_ + " while forced read-only",
            {},
            hint()};
        encode_error_response(replacement_, severity::error, refusal);
        return reply::replace;
    }
    const std::string_view text = as_text(body);
    const auto is_raised_by = [&](std::string_view routine) {
        return text.find(std::string("\0R", 2).append(routine).append(1, '\0')) != text.npos;
    };
    const bool is_by_block = !is_clients_ && (code == "2D000" || code == "25001");
    const bool is_flip = code == "25001" && (is_raised_by("call_bool_check_hook") ||
                                             is_raised_by("check_transaction_read_only"));
    const bool is_several = code == "42601" && failed != nullptr &&
                            failed->for_whom == whose::query && is_raised_by("exec_parse_message");
    if (!is_read_only && !is_by_block && !is_flip && !is_several) {
        return reply::pass;
    }
    writer out(replacement_);
    out.begin_message(backend::ErrorResponse);
    reader in(body);
    for (auto field = in.u8(); field && *field != 0; field = in.u8()) {
        const auto value = in.cstring().value_or("");
        if (*field != 'H') {
            out.u8(*field);
            out.cstring(*field == 'C' ? sqlstate::read_only_sql_transaction : value);
        }
    }
    out.u8('H');
    out.cstring(hint());
    out.u8(0);
    out.end_message();
    return reply::replace;
}

read_only_guard::reply read_only_guard::on_ready(byte_view body) {
    const char status = body.empty() ? transaction_status::idle : static_cast<char>(body[0]);
    if (answers_.empty() || wait_ != wait::ready) {
        return reply::pass;  // nobody asked: whoever follows the conversation will notice
    }
    const answer done = answers_.front();
    answers_.clear();
    was_run_ = false;
    is_pinned_ = false;
    is_skipping_ = false;
    is_unnamed_free_ = !has_unnamed_;
    if (done.next == then::call_function && status == transaction_status::in_transaction) {
        forward(frontend::FunctionCall, as_bytes(call_));
        expect(asked::function, whose::client);
        return reply::drop;
    }
    const bool is_ours = !is_clients_ && status != transaction_status::idle;
    if (is_ours && done.what == asked::function && status == transaction_status::in_transaction) {
        sync(whose::query, then::tell_client);
        return reply::drop;
    }
    // A block that stands although none of ours can was begun by the client, however it did that.
    const bool is_late = is_ours && !is_block_ && status == transaction_status::in_transaction &&
                         done.next != then::end_block;
    if (is_ours && !is_late) {
        roll_back();
        return reply::drop;
    }
    is_block_ = status != transaction_status::idle;
    is_clients_ = is_block_;
    has_failed_ = status == transaction_status::failed_transaction;
    return finish();
}

read_only_guard::reply read_only_guard::finish() {
    if (!is_block_) {
        portals_.clear();
    }
    in_query_ = false;
    wait_ = wait::no;
    query_ = {};
    call_ = {};
    return reply::pass;
}

}  // namespace pgsluice::protocol
