// Some errors only exist because the guard opens a read-only block around the client's statement.
// The server's routine, field R of an ErrorResponse, tells them from the client's own.

#include "protocol/guard/rewording.hpp"

#include "protocol/errors.hpp"
#include "protocol/wire/message_types.hpp"
#include "protocol/wire/messages.hpp"

namespace pgsluice::protocol {

namespace {

bool is_raised_by(byte_view body, std::string_view routine) {
    const std::string_view text = as_text(body);
    const std::string field = std::string("\0R", 2).append(routine).append(1, '\0');
    return text.find(field) != std::string_view::npos;
}

/// Whether the error is there because of the guard's block alone.
bool comes_of_guard(byte_view body, std::string_view code, const error_circumstances& when) {
    const bool is_active = code == sqlstate::active_sql_transaction;
    const bool is_end = code == sqlstate::invalid_transaction_termination;
    const bool is_by_block = !when.is_clients_block && (is_end || is_active);
    const bool is_flip = is_active && (is_raised_by(body, "call_bool_check_hook") ||
                                       is_raised_by(body, "check_transaction_read_only"));
    const bool is_several = code == sqlstate::syntax_error && when.is_clients_query &&
                            is_raised_by(body, "exec_parse_message");
    return is_by_block || is_flip || is_several;
}

/// The same error with SQLSTATE 25006 and another hint.
std::string as_read_only(byte_view body, const std::string& hint) {
    std::string message;
    writer out(message);
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
    out.cstring(hint);
    out.u8(0);
    out.end_message();
    return message;
}

}  // namespace

std::string guard_words::hint() const {
    return "Service \"" + service +
           "\" is forced read-only by an operator; reads work, and writes will again when the "
           "operator ends it (" +
           std::string(end) + ").";
}

std::optional<std::string>
reword_error(byte_view body, const error_circumstances& when, const guard_words& words) {
    const auto fields = decode_error_response(body);
    if (!fields) {
        return std::nullopt;
    }
    const std::string_view code = fields->sqlstate;
    const bool is_read_only = code == sqlstate::read_only_sql_transaction;
    if (is_read_only && !when.denied.empty()) {
        const failure refusal{
            .sqlstate = std::string(code),
            .message = "cannot execute " + std::string(when.denied) + " while forced read-only",
            .detail = {},
            .hint = words.hint()};
        std::string message;
        encode_error_response(message, severity::error, refusal);
        return message;
    }
    if (is_read_only || comes_of_guard(body, code, when)) {
        return as_read_only(body, words.hint());
    }
    return std::nullopt;
}

}  // namespace pgsluice::protocol
