// Messages of the client, one statement at a time, and the order of the answers. Errors skip to
// Sync in the extended protocol (console_extended.cpp), and end the query string in the simple one.

#include "protocol/console/console_dialogue.hpp"

#include "protocol/sql/sql_lexer.hpp"
#include "protocol/wire/message_types.hpp"
#include "protocol/wire/messages.hpp"

#include <utility>

namespace pgsluice::protocol {

namespace {

constexpr std::size_t header_bytes = 5;

failure violation(std::string what) {
    return {std::string(sqlstate::protocol_violation), std::move(what), {}, {}};
}

}  // namespace

std::vector<std::string_view> console_statements(std::string_view text) {
    constexpr std::string_view blank = " \t\r\n\f\v";
    std::vector<std::string_view> statements;
    sql_lexer lexer(text, true);
    std::size_t begin = 0;
    std::size_t end = 0;  // behind the last token of the statement; at `begin`: there is none yet
    for (;;) {
        const sql_token token = lexer.next();
        const bool is_last = token.what == sql_token::kind::end;
        if (!is_last && !token.is(';')) {
            end = lexer.offset();
            continue;
        }
        if (end > begin) {
            const std::string_view whole = text.substr(begin, end - begin);
            statements.push_back(whole.substr(whole.find_first_not_of(blank)));
        }
        begin = end = lexer.offset();
        if (is_last) {
            return statements;
        }
    }
}

std::optional<console_dialogue::message> console_dialogue::next_message() {
    const byte_view rest = byte_view(in_).subspan(at_);
    if (rest.size() < header_bytes) {
        return std::nullopt;
    }
    const std::size_t length = load_u32(rest.data() + 1);
    if (length < 4 || length > message_bytes_max) {
        end_with(violation(
            length < 4 ? "invalid message length"
                       : "a message is longer than the console takes (" +
                             std::to_string(message_bytes_max) + " bytes)"
        ));
        return std::nullopt;
    }
    if (rest.size() < length + 1) {
        return std::nullopt;
    }
    at_ += length + 1;
    return message{static_cast<char>(rest[0]), rest.subspan(header_bytes, length - 4)};
}

console_dialogue::step console_dialogue::advance() {
    while (!is_over_) {
        if (!queue_.empty()) {
            running_ = std::move(queue_.front());
            queue_.pop_front();
            return step::run;
        }
        if (std::exchange(in_query_, false)) {
            ready();
        }
        const auto next = next_message();
        if (!next && !is_over_) {
            in_.erase(in_.begin(), in_.begin() + static_cast<std::ptrdiff_t>(at_));
            at_ = 0;
            return step::read;
        }
        if (next && handle(*next)) {
            return step::run;
        }
    }
    return step::end;
}

bool console_dialogue::handle(const message& m) {
    if (m.type == frontend::Terminate) {
        is_over_ = true;
        return false;
    }
    if (m.type == frontend::Sync) {
        skips_ = false;
        portals_.clear();  // the end of a transaction is the end of its portals
        ready();
        return false;
    }
    if (skips_) {
        return false;
    }
    switch (m.type) {
    case frontend::Query:
        begin_query(m.body);
        return false;
    case frontend::FunctionCall:
        encode_error_response(
            out_,
            severity::error,
            {std::string(sqlstate::feature_not_supported), "the console has no functions", {}, {}}
        );
        ready();
        return false;
    case frontend::Flush:
    case frontend::CopyData:  // of a COPY that was refused, as the server ignores them
    case frontend::CopyDone:
    case frontend::CopyFail:
        return false;
    case frontend::Parse:
    case frontend::Bind:
    case frontend::Describe:
    case frontend::Execute:
    case frontend::Close:
        return handle_extended(m);
    default:
        end_with(violation("invalid frontend message type " + std::to_string(m.type)));
        return false;
    }
}

// --- simple queries

void console_dialogue::begin_query(byte_view body) {
    const auto text = decode_query(body);
    if (!text) {
        end_with(text.error());
        return;
    }
    portals_.clear();
    prepared_.erase(std::string());  // a simple Query takes the unnamed statement's place
    for (const std::string_view statement : console_statements(*text)) {
        queue_.emplace_back(statement);
    }
    in_query_ = true;
    if (queue_.empty()) {
        encode_bare(out_, backend::EmptyQueryResponse);
    }
}

void console_dialogue::answer(console_answer given) {
    if (!in_query_) {
        const auto found = portals_.find(executed_);
        PGSLUICE_ASSERT(found != portals_.end());
        send_notices(given);
        if (given.error) {
            fail(*given.error);
            return;
        }
        PGSLUICE_ASSERT(given.columns.size() == found->second.of.columns.size());
        found->second.answer = std::move(given);
        send_rows(found->second);
        return;
    }
    send_notices(given);
    if (given.error) {
        encode_error_response(out_, severity::error, *given.error);
        queue_.clear();
        return;
    }
    if (!given.columns.empty()) {
        encode_row_description(out_, given.columns, {});
    }
    for (const console_row& row : given.rows) {
        encode_data_row(out_, given.columns, row, {});
    }
    encode_command_complete(out_, given.tag);
}

void console_dialogue::send_notices(const console_answer& given) {
    for (const failure& notice : given.notices) {
        encode_notice_response(out_, notice);
    }
}

// --- ends

void console_dialogue::fail(const failure& why) {
    encode_error_response(out_, severity::error, why);
    skips_ = true;
}

void console_dialogue::end_with(failure why) {
    encode_error_response(out_, severity::fatal, why);
    is_over_ = true;
}

void console_dialogue::ready() {
    encode_ready_for_query(out_, transaction_status::idle);
}

std::string console_dialogue::take_output() {
    return std::exchange(out_, {});
}

}  // namespace pgsluice::protocol
