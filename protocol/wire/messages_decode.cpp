// The decoding half of messages.hpp. Reads of one message are done together and checked together:
// a failed read fails all later ones, and at_end() refuses what is left over.

#include "protocol/wire/messages.hpp"
#include "protocol/wire/startup.hpp"

namespace pgsluice::protocol {

namespace {

failure malformed(std::string_view message) {
    return {
        std::string(sqlstate::protocol_violation),
        "malformed " + std::string(message) + " message",
        {},
        {}};
}

/// A body that is one String.
result<std::string_view> decode_text(byte_view body, std::string_view name) {
    reader fields(body);
    const auto text = fields.cstring();
    if (!fields.at_end())
        return malformed(name);
    return *text;
}

result<notice_fields> decode_notice(byte_view body, std::string_view name) {
    notice_fields notice;
    std::string_view localized_severity;
    reader fields(body);
    for (;;) {
        const auto code = fields.u8();
        if (!code)
            return malformed(name);
        if (*code == 0)
            break;
        const auto text = fields.cstring();
        if (!text)
            return malformed(name);
        switch (*code) {
        case 'S':
            localized_severity = *text;
            break;
        case 'V':
            notice.severity = *text;
            break;
        case 'C':
            notice.sqlstate = *text;
            break;
        case 'M':
            notice.message = *text;
            break;
        case 'D':
            notice.detail = *text;
            break;
        case 'H':
            notice.hint = *text;
            break;
        default:  // "frontends should silently ignore fields of unrecognized type"
            break;
        }
    }
    if (!fields.at_end())
        return malformed(name);
    if (notice.severity.empty())
        notice.severity = localized_severity;
    return notice;
}

result<statement_or_portal> decode_target(byte_view body, std::string_view name) {
    reader fields(body);
    const auto kind = fields.u8();
    const auto target = fields.cstring();
    if (!fields.at_end() || (*kind != 'S' && *kind != 'P'))
        return malformed(name);
    return statement_or_portal{static_cast<char>(*kind), *target};
}

/// An Int16 count and that many format codes.
std::optional<format_list> read_formats(reader& fields) noexcept {
    const auto count = fields.u16();
    const auto codes = fields.bytes(std::size_t{count.value_or(0)} * 2);
    if (!codes)
        return std::nullopt;
    return format_list(*codes);
}

std::optional<value_list> read_values(reader& fields) noexcept {
    const auto count = fields.u16();
    return value_list::read(fields, count.value_or(0));
}

}  // namespace

std::optional<value_list> value_list::read(reader& body, std::size_t count) noexcept {
    const byte_view before = body.rest();
    for (std::size_t i = 0; i < count; ++i) {
        const auto length = body.i32();
        if (!length || *length < -1)
            return std::nullopt;
        if (*length > 0 && !body.bytes(static_cast<std::size_t>(*length)))
            return std::nullopt;
    }
    if (body.failed())
        return std::nullopt;
    value_list values;
    values.bytes_ = before.first(before.size() - body.rest().size());
    values.count_ = count;
    return values;
}

failure notice_fields::as_failure() const {
    return {
        std::string(sqlstate.empty() ? sqlstate::internal_error : sqlstate),
        std::string(message),
        std::string(detail),
        std::string(hint)};
}

std::int16_t Bind::parameter_format(std::size_t index) const noexcept {
    if (parameter_formats.empty())
        return 0;
    return parameter_formats[parameter_formats.size() == 1 ? 0 : index];
}

result<notice_fields> decode_error_response(byte_view body) {
    return decode_notice(body, "ErrorResponse");
}

result<notice_fields> decode_notice_response(byte_view body) {
    return decode_notice(body, "NoticeResponse");
}

result<ParameterStatus> decode_parameter_status(byte_view body) {
    reader fields(body);
    const auto name = fields.cstring();
    const auto value = fields.cstring();
    if (!fields.at_end())
        return malformed("ParameterStatus");
    return ParameterStatus{*name, *value};
}

result<BackendKeyData> decode_backend_key_data(byte_view body) {
    reader fields(body);
    const auto pid = fields.i32();
    const byte_view key = fields.rest();
    if (!pid || key.size() < cancel_key_min_bytes || key.size() > cancel_key_max_bytes)
        return malformed("BackendKeyData");
    return BackendKeyData{*pid, key};
}

result<Authentication> decode_authentication(byte_view body) {
    reader fields(body);
    const auto code = fields.i32();
    if (!code)
        return malformed("Authentication");
    return Authentication{*code, fields.rest()};
}

result<NotificationResponse> decode_notification_response(byte_view body) {
    reader fields(body);
    const auto pid = fields.i32();
    const auto channel = fields.cstring();
    const auto payload = fields.cstring();
    if (!fields.at_end())
        return malformed("NotificationResponse");
    return NotificationResponse{*pid, *channel, *payload};
}

result<char> decode_ready_for_query(byte_view body) {
    reader fields(body);
    const auto status = static_cast<char>(fields.u8().value_or(0));
    if (!fields.at_end() ||
        (status != transaction_status::idle && status != transaction_status::in_transaction &&
         status != transaction_status::failed_transaction))
        return malformed("ReadyForQuery");
    return status;
}

result<std::string_view> decode_command_complete(byte_view body) {
    return decode_text(body, "CommandComplete");
}

result<value_list> decode_data_row(byte_view body) {
    reader fields(body);
    const auto values = read_values(fields);
    if (!values || !fields.at_end())
        return malformed("DataRow");
    return *values;
}

result<std::string_view> decode_query(byte_view body) {
    return decode_text(body, "Query");
}

result<Parse> decode_parse(byte_view body) {
    reader fields(body);
    const auto statement = fields.cstring();
    const auto query = fields.cstring();
    const auto count = fields.u16();
    const auto oids = fields.bytes(std::size_t{count.value_or(0)} * 4);
    if (!fields.at_end())
        return malformed("Parse");
    return Parse{*statement, *query, oid_list(*oids)};
}

result<Bind> decode_bind(byte_view body) {
    reader fields(body);
    const auto portal = fields.cstring();
    const auto statement = fields.cstring();
    const auto parameter_formats = read_formats(fields);
    const auto parameters = read_values(fields);
    const auto result_formats = read_formats(fields);
    if (!parameter_formats || !parameters || !result_formats || !fields.at_end())
        return malformed("Bind");
    if (parameter_formats->size() > 1 && parameter_formats->size() != parameters->size())
        return malformed("Bind");
    return Bind{*portal, *statement, *parameter_formats, *parameters, *result_formats};
}

result<statement_or_portal> decode_close(byte_view body) {
    return decode_target(body, "Close");
}

result<statement_or_portal> decode_describe(byte_view body) {
    return decode_target(body, "Describe");
}

result<SASLInitialResponse> decode_sasl_initial_response(byte_view body) {
    reader fields(body);
    const auto mechanism = fields.cstring();
    const auto length = fields.i32();
    if (!mechanism || !length || *length < -1)
        return malformed("SASLInitialResponse");
    SASLInitialResponse response{*mechanism, std::nullopt};
    if (*length >= 0)
        response.data = fields.bytes(static_cast<std::size_t>(*length));
    if (!fields.at_end())
        return malformed("SASLInitialResponse");
    return response;
}

result<std::string_view> decode_password_message(byte_view body) {
    return decode_text(body, "PasswordMessage");
}

}  // namespace pgsluice::protocol
