// What the guard makes of each message of the client; why is told in read_only_guard.cpp.

#include "protocol/guard/read_only_guard.hpp"
#include "protocol/wire/messages.hpp"

#include <algorithm>

namespace pgsluice::protocol {

namespace {

/// What cannot be decoded; a server refuses it, too.
constexpr const char* malformed = "a malformed message";

}  // namespace

void read_only_guard::on_client(char type, byte_view body) {
    if (is_skipping_ && type != frontend::Sync) {
        return;
    }
    if (on_copy(type, body)) {
        return;
    }
    switch (type) {
    case frontend::Query:
        on_query(body);
        break;
    case frontend::Parse:
        on_parse(body);
        break;
    case frontend::Bind:
        on_bind(body);
        break;
    case frontend::Describe:
        on_describe(body);
        break;
    case frontend::Execute:
        on_execute(body);
        break;
    case frontend::Close:
        on_close(body);
        break;
    case frontend::FunctionCall:
        on_function(body);
        break;
    case frontend::Flush:
        forward(type, body);
        break;
    case frontend::Sync:
        sync(whose::client, then::tell_client);
        break;
    default:
        break;
    }
}

/// True when the message is dealt with: during a COPY FROM STDIN, or left over from one.
bool read_only_guard::on_copy(char type, byte_view body) {
    const bool ends = type == frontend::CopyDone || type == frontend::CopyFail;
    const bool is_copy = ends || type == frontend::CopyData;
    if (!in_copy_) {
        return is_copy;
    }
    if (type == frontend::Sync || type == frontend::Flush) {
        return true;  // as the server does
    }
    if (is_copy) {
        forward(type, body);
    } else {
        encode_copy_fail(to_server_, "unexpected message during COPY from stdin");
    }
    if (ends || !is_copy) {
        in_copy_ = false;
        wait_for_answers();  // the Flush behind Execute was read as part of the data
    }
    return true;
}

void read_only_guard::on_query(byte_view body) {
    in_query_ = true;
    may_resume_ = false;
    unnamed_.now = {};
    unnamed_.answered = {};
    const auto text = decode_query(body);
    if (!text) {
        deny(malformed);
        sync(whose::query, then::tell_client);
        return;
    }
    query_ = *text;
    parts_ = split_statements(query_, statements_.rules());
    std::reverse(parts_.begin(), parts_.end());
    run_parts();
}

void read_only_guard::run_parts() {
    while (!parts_.empty() && wait_ == wait::no) {
        const std::string_view part = parts_.back();
        parts_.pop_back();
        run_part(part);
    }
    if (wait_ == wait::no) {
        sync(whose::query, then::tell_client);
    }
}

void read_only_guard::run_part(std::string_view text) {
    statement_reading reading = statements_.read(text);
    if (reading.kind == statement_kind::discard_all &&
        (block_.is_open || text.size() != query_.size())) {
        reading = {};  // the server refuses it there
    }
    if (reading.kind == statement_kind::denied) {
        parts_.clear();
        deny(reading.denied_what);
        return;
    }
    const bool is_other = reading.kind == statement_kind::other;
    ensure(reading.kind, is_other && takes_snapshot(text));
    unnamed_.is_taken = true;
    encode_parse(to_server_, "", reading.text.empty() ? text : std::string_view(reading.text));
    encode_bind(to_server_, {});
    encode_describe(to_server_, {'P', ""});
    encode_execute(to_server_, "");
    expect(asked::parse, whose::query);
    expect(asked::bind, whose::query);
    expect(asked::describe, whose::query);
    expect(asked::execute, whose::query, reading.kind);
    block_.was_run = true;
    block_.is_pinned = false;
    block_.has_failed = false;
    if (!is_other && !(parts_.empty() && block_.lets_sync_decide(reading.kind))) {
        wait_for_answers();
    }
}

void read_only_guard::on_parse(byte_view body) {
    const auto message = decode_parse(body);
    if (!message) {
        deny(malformed);
        return;
    }
    const std::string name(message->statement);
    statement_reading reading = statements_.read(message->query);
    if (reading.kind == statement_kind::denied) {
        deny(reading.denied_what);
        return;
    }
    const statement_kind kind = reading.kind;
    ensure(kind, kind == statement_kind::other && takes_snapshot(message->query));
    forward(frontend::Parse, body);
    expect(asked::parse, whose::client, kind);
    answers_.back().name = name;
    if (name.empty()) {
        unnamed_.now = unnamed_statement::of(body, *message, reading);
        answers_.back().unnamed = unnamed_.now;
        unnamed_.is_taken = false;
        unnamed_.is_reused = false;
        unnamed_.is_parsed = true;
    } else if (kind != statement_kind::other) {
        statements_.put(name, std::move(reading));
    } else if (find(name) != nullptr) {
        wait_for_answers();  // which of the two it is, the answer tells
    }
}

/// As ensure(), for the client's unnamed statement; it is where the client expects it, or none is.
/// To bind it takes the snapshot as parsing it does. False when it is denied.
bool read_only_guard::prepare_unnamed(statement_kind kind, bool is_bind) {
    using state = unnamed_statement::state;
    const bool can_return =
        unnamed_.now.what == state::known && (unnamed_.now.is_plain || !block_.was_run);
    const bool pins_itself =
        unnamed_.now.takes_snapshot && (unnamed_.is_taken ? can_return : is_bind);
    ensure(kind, pins_itself, behind::unnamed);
    unnamed_.is_reused = unnamed_.is_reused || unnamed_.is_taken || !unnamed_.is_parsed;
    if (!unnamed_.is_taken) {
        return true;
    }
    if (unnamed_.now.what == state::known && !can_return) {
        deny("a statement prepared before settings that may have changed its meaning");
        return false;
    }
    unnamed_.is_taken = false;
    if (can_return) {
        forward(frontend::Parse, as_bytes(unnamed_.now.parse));
        expect(asked::parse, whose::ours);
    } else {
        encode_close(to_server_, {'S', ""});
        expect(asked::close, whose::ours);
    }
    return true;
}

void read_only_guard::on_bind(byte_view body) {
    const auto message = decode_bind(body);
    if (!message) {
        deny(malformed);
        return;
    }
    const statement_reading* known = find(message->statement);
    if (known != nullptr && known->kind == statement_kind::denied) {
        deny(known->denied_what);
        return;
    }
    const statement_kind kind = known == nullptr ? statement_kind::other : known->kind;
    const std::string portal(message->portal);
    const bool is_replaced =
        is_exact(kind) && !(kind == statement_kind::discard_all && block_.is_open);
    if (is_replaced) {
        // The name could stand for something else by now; the text is what it says.
        const std::string_view name = name_of_ours(behind::other);
        encode_parse(to_server_, name, known->text);
        expect(asked::parse, whose::ours);
        encode_bind(to_server_, {.portal = portal, .statement = name});
        expect(asked::bind, whose::client);
        if (!name.empty()) {
            close_ours();
        }
        portals_.insert_or_assign(portal, kind);
        return;
    }
    if (!message->statement.empty()) {
        ensure(statement_kind::other);
    } else if (!prepare_unnamed(statement_kind::other, true)) {
        return;
    }
    may_resume_ = may_resume_ && !portal.empty();
    forward(frontend::Bind, body);
    expect(asked::bind, whose::client);
    if (kind == statement_kind::opaque) {
        portals_.insert_or_assign(portal, kind);
    } else {
        portals_.erase(portal);
    }
}

void read_only_guard::on_describe(byte_view body) {
    const auto message = decode_describe(body);
    if (message && message->kind == 'S') {
        const statement_reading* known = find(message->name);
        const statement_kind kind = known == nullptr ? statement_kind::other : known->kind;
        if (!message->name.empty()) {
            ensure(kind);
        } else if (!prepare_unnamed(kind, false)) {
            return;
        }
    }
    forward(frontend::Describe, body);
    expect(asked::describe, whose::client);
}

void read_only_guard::on_execute(byte_view body) {
    reader in(body);
    const auto portal = in.cstring().value_or("");
    const bool has_limit = in.i32().value_or(0) != 0;
    const auto found = portals_.find(portal);
    const statement_kind kind = found == portals_.end() ? statement_kind::other : found->second;
    ensure(kind);
    forward(frontend::Execute, body);
    expect(asked::execute, whose::client, kind);
    block_.is_pinned = false;
    block_.has_failed = false;
    may_resume_ = may_resume_ || (has_limit && portal.empty());
    if (kind == statement_kind::begin && !block_.is_open) {
        block_.is_open = true;  // or nothing of what follows will run: the text was our own
        block_.is_clients = true;
        return;
    }
    block_.was_run = true;
    if (kind != statement_kind::other) {
        wait_for_answers();
        wait_ = block_.lets_sync_decide(kind) ? wait::answers_or_sync : wait::answers;
    }
}

void read_only_guard::on_close(byte_view body) {
    forward(frontend::Close, body);
    expect(asked::close, whose::client);
    const auto message = decode_close(body);
    if (message && message->kind == 'S') {
        answers_.back().name = message->name;
        answers_.back().is_statement = true;
        if (message->name.empty()) {
            unnamed_.now = {};
            unnamed_.is_taken = false;
        }
    }
}

/// A call is a Sync group of its own: that its block stands has to be known before it is sent.
void read_only_guard::on_function(byte_view body) {
    in_query_ = true;
    if (body.size() < 4 || is_large_object_writer(load_u32(body.data()))) {
        deny(body.size() < 4 ? malformed : "a function that writes large objects");
        sync(whose::query, then::tell_client);
    } else if (block_.has_failed) {
        forward(frontend::FunctionCall, body);
        expect(asked::function, whose::client);
        wait_ = wait::ready;
    } else {
        call_ = as_text(body);
        ensure(statement_kind::other);
        sync(whose::ours, then::call_function);
    }
}

void read_only_guard::sync(whose for_whom, then next) {
    const bool is_ours = block_.is_open && !block_.is_clients && !is_skipping_;
    if (is_ours && next == then::tell_client) {
        run_ours("COMMIT", whose::ours, behind::sync);
    }
    flush_due_ = false;
    const bool has_none = unnamed_.now.what == unnamed_statement::state::none;
    if (unnamed_.leaves_none && unnamed_.is_taken && has_none && !is_skipping_ &&
        next != then::call_function) {
        encode_close(to_server_, {'S', ""});
        expect(asked::close, whose::ours);
        unnamed_.is_taken = false;
    }
    encode_sync(to_server_);
    expect(asked::sync, for_whom);
    answers_.back().next = next;
    wait_ = wait::ready;
}

}  // namespace pgsluice::protocol
