// What the guard makes of each message of the client; why is told in read_only_guard.cpp.

#include "protocol/messages.hpp"
#include "protocol/read_only_guard.hpp"

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
    is_unnamed_free_ = !has_unnamed_;
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
        encode_flush(to_server_);  // the one behind Execute was read as part of the data
        wait_ = wait::answers;
    }
    return true;
}

void read_only_guard::on_query(byte_view body) {
    in_query_ = true;
    has_unnamed_ = false;
    is_unnamed_free_ = true;
    forget(std::string());
    const auto text = decode_query(body);
    if (!text) {
        deny(malformed);
        sync(whose::query, then::tell_client);
        return;
    }
    query_ = *text;
    parts_ = split_statements(query_, rules_);
    std::reverse(parts_.begin(), parts_.end());
    run_parts();
}

void read_only_guard::run_parts() {
    is_unnamed_free_ = true;
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
    statement_reading reading = read(text);
    if (reading.kind == statement_kind::discard_all &&
        (is_block_ || text.size() != query_.size())) {
        reading = {};  // the server refuses it there
    }
    if (reading.kind == statement_kind::denied) {
        parts_.clear();
        deny(reading.denied_what);
        return;
    }
    ensure(reading.kind);
    encode_parse(to_server_, "", reading.text.empty() ? text : std::string_view(reading.text));
    encode_bind(to_server_, {});
    encode_describe(to_server_, {'P', ""});
    encode_execute(to_server_, "");
    expect(asked::parse, whose::query);
    expect(asked::bind, whose::query);
    expect(asked::describe, whose::query);
    expect(asked::execute, whose::query, reading.kind);
    was_run_ = true;
    is_pinned_ = false;
    has_failed_ = false;
    if (reading.kind != statement_kind::other) {
        encode_flush(to_server_);
        wait_ = wait::answers;
    }
}

void read_only_guard::on_parse(byte_view body) {
    const auto message = decode_parse(body);
    if (!message) {
        deny(malformed);
        return;
    }
    const std::string name(message->statement);
    is_unnamed_free_ = name.empty() || !has_unnamed_;
    has_unnamed_ = has_unnamed_ || name.empty();
    statement_reading reading = read(message->query);
    if (reading.kind == statement_kind::denied) {
        deny(reading.denied_what);
        return;
    }
    const statement_kind kind = reading.kind;
    ensure(kind);
    forward(frontend::Parse, body);
    expect(asked::parse, whose::client, kind);
    answers_.back().name = name;
    if (kind != statement_kind::other) {
        statements_.insert_or_assign(name, std::move(reading));
    } else if (name.empty()) {
        forget(name);
    } else if (find(name) != nullptr) {
        encode_flush(to_server_);  // which of the two it is, the answer tells
        wait_ = wait::answers;
    }
}

/// A client that asks for an unnamed statement it does not have shall not find one of ours.
void read_only_guard::hide_unnamed(std::string_view asked_for) {
    if (asked_for.empty() && !has_unnamed_) {
        encode_close(to_server_, {'S', ""});
        expect(asked::close, whose::ours);
    }
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
    const bool is_replaced = is_exact(kind) && !(kind == statement_kind::discard_all && is_block_);
    if (is_replaced) {
        // The name could stand for something else by now; the text is what it says.
        close_ours();
        encode_parse(to_server_, private_name, known->text);
        expect(asked::parse, whose::ours);
        encode_bind(to_server_, {.portal = portal, .statement = private_name});
        expect(asked::bind, whose::client);
        close_ours();
        portals_.insert_or_assign(portal, kind);
        return;
    }
    ensure(statement_kind::other);
    hide_unnamed(message->statement);
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
        ensure(known == nullptr ? statement_kind::other : known->kind);
        hide_unnamed(message->name);
    }
    forward(frontend::Describe, body);
    expect(asked::describe, whose::client);
}

void read_only_guard::on_execute(byte_view body) {
    const auto portal = reader(body).cstring().value_or("");
    const auto found = portals_.find(portal);
    const statement_kind kind = found == portals_.end() ? statement_kind::other : found->second;
    ensure(kind);
    forward(frontend::Execute, body);
    expect(asked::execute, whose::client, kind);
    was_run_ = true;
    is_pinned_ = false;
    has_failed_ = false;
    if (kind != statement_kind::other) {
        encode_flush(to_server_);
        wait_ = wait::answers;
    }
}

void read_only_guard::on_close(byte_view body) {
    forward(frontend::Close, body);
    expect(asked::close, whose::client);
    const auto message = decode_close(body);
    if (message && message->kind == 'S') {
        answers_.back().name = message->name;
        answers_.back().is_statement = true;
    }
}

/// A call is a Sync group of its own: that its block stands has to be known before it is sent.
void read_only_guard::on_function(byte_view body) {
    in_query_ = true;
    if (body.size() < 4 || is_large_object_writer(load_u32(body.data()))) {
        deny(body.size() < 4 ? malformed : "a function that writes large objects");
        sync(whose::query, then::tell_client);
    } else if (has_failed_) {
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
    const bool is_ours = is_block_ && !is_clients_ && !is_skipping_;
    if (is_ours && next == then::tell_client) {
        run_ours("COMMIT");
    }
    encode_sync(to_server_);
    expect(asked::sync, for_whom);
    answers_.back().next = next;
    wait_ = wait::ready;
}

}  // namespace pgsluice::protocol
