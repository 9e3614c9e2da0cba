// How the server is made to keep the promise. Around what the client sends stand statements of
// ours:
//
//   no block open      BEGIN READ ONLY, a Parse that takes the snapshot | client | COMMIT, Sync
//   client's block     a Parse that takes the snapshot                  | client | Sync
//   its BEGIN          is sent with READ ONLY added; COMMIT, ROLLBACK and SET TRANSACTION alone may
//                      run before the snapshot
//
// A statement that starts with SELECT or WITH needs no Parse of ours: analyzing it takes the
// snapshot first. With the snapshot taken the server refuses to leave READ ONLY, so whatever the
// client runs cannot write. What it can do is end the transaction, openly or hidden in a function:
// so before the next thing that it sends, in one pipeline or not, the same is put in front again. A
// query string is sent as Parse, Bind and Execute, of which the server takes one statement each.
// All of it goes to the server at once, and an error of ours makes it skip what would come
// unprotected.
//
// Ours have no name where that can be: the client's unnamed statement is sent again before the
// client uses it. A name of ours lives for one pipeline. So the session's state stays the client's
// alone.

#include "protocol/guard/read_only_guard.hpp"

#include "protocol/sql/sql_lexer.hpp"
#include "protocol/wire/messages.hpp"

#include <utility>

namespace pgsluice::protocol {

namespace {

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
           "operator ends it (" +
           std::string(words_.end) + ").";
}

void read_only_guard::knows(std::string_view name, std::string_view text) {
    auto reading = read_statement(text, rules_);
    knows_denied_ = knows_denied_ || reading.kind == statement_kind::denied;
    if (reading.kind != statement_kind::other) {
        statements_.insert_or_assign(std::string(name), std::move(reading));
    }
}

void read_only_guard::knows_unnamed(byte_view parse_body) {
    const auto message = decode_parse(parse_body);
    if (!message) {
        distrusts_unnamed();
        return;
    }
    unnamed_ = unnamed_statement::of(parse_body, *message, read_statement(message->query, rules_));
    unnamed_.outlive_settings(false);  // they could have changed since
    unnamed_.takes_snapshot = false;   // what is bound is what others say
    unnamed_answered_ = unnamed_;
}

void read_only_guard::distrusts_unnamed() {
    unnamed_ = unnamed_statement::strange();
    unnamed_answered_ = unnamed_;
}

void read_only_guard::read_by(text_rules rules) {
    rules_ = rules;
    unnamed_.outlive_settings(is_taken_);
    unnamed_answered_.outlive_settings(is_taken_);
}

const statement_reading* read_only_guard::find(std::string_view name) const {
    if (name.empty()) {
        return unnamed_.known_as();
    }
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
    answer done = std::move(answers_.front());
    answers_.pop_front();
    const bool is_query = done.for_whom == whose::query;
    const bool is_hidden = is_query && (type == backend::ParseComplete ||
                                        type == backend::BindComplete || type == backend::NoData);
    const bool is_clients = done.for_whom == whose::client || is_query;
    const bool is_parse = done.what == asked::parse && done.for_whom == whose::client;
    if (done.what == asked::execute && is_clients) {
        const auto tag = as_text(body);
        on_tag(tag.substr(0, tag.find('\0')), done.kind);
    } else if ((is_parse || done.is_statement) && done.name.empty()) {
        leaves_none_ = leaves_none_ && !is_parse;
        unnamed_answered_ = std::move(done.unnamed);
    } else if (done.is_statement || (is_parse && done.kind == statement_kind::other)) {
        forget(done.name);
    }
    if (answers_.empty() && (wait_ == wait::answers || wait_ == wait::answers_or_sync)) {
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
    is_name_left_ = true;
    settle_unnamed(failed);
    while (!answers_.empty() && answers_.front().what != asked::sync) {
        answers_.pop_front();
    }
    parts_.clear();
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

/// Of what was sent nothing has run behind what failed: which unnamed statement is there now?
void read_only_guard::settle_unnamed(const answer* failed) {
    if (in_query_) {
        return;  // none
    }
    const bool is_parse =
        failed != nullptr && failed->what == asked::parse && failed->for_whom == whose::client;
    if (is_parse && failed->name.empty()) {
        unnamed_answered_ = {};
    }
    unnamed_ = unnamed_answered_;
    is_reused_ = false;
    is_taken_ = unnamed_.what != unnamed_statement::state::stays;
    leaves_none_ = true;
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
    is_parsed_ = false;
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
        may_resume_ = false;
    }
    in_query_ = false;
    wait_ = wait::no;
    query_ = {};
    call_ = {};
    return reply::pass;
}

}  // namespace pgsluice::protocol
