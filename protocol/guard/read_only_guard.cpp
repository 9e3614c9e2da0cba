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
    : words_(std::move(words)), statements_(rules) {}

void read_only_guard::knows_unnamed(byte_view parse_body) {
    const auto message = decode_parse(parse_body);
    if (!message) {
        distrusts_unnamed();
        return;
    }
    unnamed_.now = unnamed_statement::of(
        parse_body, *message, read_statement(message->query, statements_.rules())
    );
    unnamed_.now.outlive_settings(false);  // they could have changed since
    unnamed_.now.takes_snapshot = false;   // what is bound is what others say
    unnamed_.answered = unnamed_.now;
}

void read_only_guard::distrusts_unnamed() {
    unnamed_.now = unnamed_statement::strange();
    unnamed_.answered = unnamed_.now;
}

void read_only_guard::read_by(text_rules rules) {
    statements_.read_by(rules);
    unnamed_.now.outlive_settings(unnamed_.is_taken);
    unnamed_.answered.outlive_settings(unnamed_.is_taken);
}

const statement_reading* read_only_guard::find(std::string_view name) const {
    return name.empty() ? unnamed_.now.known_as() : statements_.find(name);
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
        return is_ours || (front != nullptr && front->kind == statement_kind::begin &&
                           block_.is_open && !block_.is_clients)
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
        unnamed_.leaves_none = unnamed_.leaves_none && !is_parse;
        unnamed_.answered = std::move(done.unnamed);
    } else if (done.is_statement || (is_parse && done.kind == statement_kind::other)) {
        statements_.forget(done.name);
    }
    if (answers_.empty() && (wait_ == wait::answers || wait_ == wait::answers_or_sync)) {
        wait_ = wait::no;
        if (in_query_) {
            run_parts();
        }
    }
    return is_clients && !is_hidden ? reply::pass : reply::drop;
}

void read_only_guard::on_tag(std::string_view tag, statement_kind kind) {
    const bool is_opaque = kind == statement_kind::opaque;
    if (kind == statement_kind::begin || (is_opaque && starts_block(tag))) {
        block_.is_open = true;
        block_.is_clients = true;
    } else if (kind == statement_kind::end || (is_opaque && ends_block(tag))) {
        block_.is_open = false;
        block_.is_clients = false;
    } else if (tag == "DISCARD ALL" || tag == "DEALLOCATE ALL") {
        statements_.forget_all();
    }
}

read_only_guard::reply read_only_guard::on_error(byte_view body) {
    in_copy_ = false;
    const answer* const failed = answers_.empty() ? nullptr : &answers_.front();
    const bool is_denial = failed != nullptr && failed->for_whom == whose::denial;
    auto reworded = reword_error(
        body,
        {.is_clients_block = block_.is_clients,
         .is_clients_query = failed != nullptr && failed->for_whom == whose::query,
         .denied = is_denial ? std::string_view(denied_what_) : std::string_view()},
        words_
    );
    const reply told = reworded ? reply::replace : reply::pass;
    replacement_ = std::move(reworded).value_or(std::string());
    if (failed != nullptr && failed->what == asked::function) {
        return told;  // its ReadyForQuery comes by itself
    }
    is_name_left_ = true;
    if (!in_query_) {  // a Query leaves no unnamed statement
        const bool is_clients = failed != nullptr && failed->for_whom == whose::client;
        if (is_clients && failed->what == asked::parse && failed->name.empty()) {
            unnamed_.answered = {};
        }
        unnamed_.fall_back();
    }
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

void read_only_guard::unnamed_state::fall_back() noexcept {
    now = answered;
    is_reused = false;
    is_taken = now.what != unnamed_statement::state::stays;
    leaves_none = true;
}

read_only_guard::reply read_only_guard::on_ready(byte_view body) {
    const char status = body.empty() ? transaction_status::idle : static_cast<char>(body[0]);
    if (answers_.empty() || wait_ != wait::ready) {
        return reply::pass;  // nobody asked: whoever follows the conversation will notice
    }
    const answer done = answers_.front();
    answers_.clear();
    block_.was_run = false;
    block_.is_pinned = false;
    is_skipping_ = false;
    unnamed_.is_parsed = false;
    if (done.next == then::call_function && status == transaction_status::in_transaction) {
        forward(frontend::FunctionCall, as_bytes(call_));
        expect(asked::function, whose::client);
        return reply::drop;
    }
    const bool is_ours = !block_.is_clients && status != transaction_status::idle;
    if (is_ours && done.what == asked::function && status == transaction_status::in_transaction) {
        sync(whose::query, then::tell_client);
        return reply::drop;
    }
    // A block that stands although none of ours can was begun by the client, however it did that.
    const bool is_late = is_ours && !block_.is_open &&
                         status == transaction_status::in_transaction &&
                         done.next != then::end_block;
    if (is_ours && !is_late) {
        roll_back();
        return reply::drop;
    }
    block_.is_open = status != transaction_status::idle;
    block_.is_clients = block_.is_open;
    block_.has_failed = status == transaction_status::failed_transaction;
    if (!block_.is_open) {
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
