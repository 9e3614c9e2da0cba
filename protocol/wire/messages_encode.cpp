// The encoding half of messages.hpp, backends' messages first.

#include "protocol/wire/messages.hpp"

#include <limits>

namespace pgsluice::protocol {

namespace {

void encode_empty(std::string& out, char type) {
    writer message(out);
    message.begin_message(type);
    message.end_message();
}

void encode_text(std::string& out, char type, std::string_view text) {
    writer message(out);
    message.begin_message(type);
    message.cstring(text);
    message.end_message();
}

void field(writer<std::string>& message, char code, std::string_view text) {
    message.u8(static_cast<std::uint8_t>(code));
    message.cstring(text);
}

void encode_notice(
    std::string& out, char type, std::string_view severity_text, const failure& what
) {
    writer message(out);
    message.begin_message(type);
    field(message, 'S', severity_text);
    field(message, 'V', severity_text);
    field(message, 'C', what.sqlstate);
    field(message, 'M', what.message);
    if (!what.detail.empty())
        field(message, 'D', what.detail);
    if (!what.hint.empty())
        field(message, 'H', what.hint);
    message.u8(0);
    message.end_message();
}

void count(writer<std::string>& message, std::size_t items) {
    PGSLUICE_ASSERT(items <= std::numeric_limits<std::uint16_t>::max());
    message.u16(static_cast<std::uint16_t>(items));
}

void formats(writer<std::string>& message, std::span<const std::int16_t> codes) {
    count(message, codes.size());
    for (const std::int16_t code : codes)
        message.i16(code);
}

void encode_target(std::string& out, char type, statement_or_portal what) {
    PGSLUICE_ASSERT(what.kind == 'S' || what.kind == 'P');
    writer message(out);
    message.begin_message(type);
    message.u8(static_cast<std::uint8_t>(what.kind));
    message.cstring(what.name);
    message.end_message();
}

}  // namespace

void encode_error_response(std::string& out, severity how_bad, const failure& what) {
    encode_notice(
        out, backend::ErrorResponse, how_bad == severity::fatal ? "FATAL" : "ERROR", what
    );
}

void encode_notice_response(std::string& out, const failure& what) {
    encode_notice(out, backend::NoticeResponse, "NOTICE", what);
}

void encode_ready_for_query(std::string& out, char status) {
    writer message(out);
    message.begin_message(backend::ReadyForQuery);
    message.u8(static_cast<std::uint8_t>(status));
    message.end_message();
}

void encode_authentication_ok(std::string& out) {
    writer message(out);
    message.begin_message(backend::Authentication);
    message.i32(authentication::Ok);
    message.end_message();
}

void encode_authentication_md5_password(std::string& out, byte_view salt) {
    PGSLUICE_ASSERT(salt.size() == 4);
    writer message(out);
    message.begin_message(backend::Authentication);
    message.i32(authentication::MD5Password);
    message.bytes(salt);
    message.end_message();
}

void encode_authentication_sasl(std::string& out, std::span<const std::string_view> mechanisms) {
    writer message(out);
    message.begin_message(backend::Authentication);
    message.i32(authentication::SASL);
    for (const std::string_view mechanism : mechanisms) {
        message.cstring(mechanism);
    }
    message.u8(0);
    message.end_message();
}

void encode_authentication_sasl_data(std::string& out, std::int32_t code, std::string_view data) {
    writer message(out);
    message.begin_message(backend::Authentication);
    message.i32(code);
    message.bytes(data);
    message.end_message();
}

void encode_parameter_status(std::string& out, std::string_view name, std::string_view value) {
    writer message(out);
    message.begin_message(backend::ParameterStatus);
    message.cstring(name);
    message.cstring(value);
    message.end_message();
}

void encode_backend_key_data(std::string& out, std::int32_t pid, byte_view key) {
    writer message(out);
    message.begin_message(backend::BackendKeyData);
    message.i32(pid);
    message.bytes(key);
    message.end_message();
}

void encode_negotiate_protocol_version(
    std::string& out, std::int32_t newest, std::span<const std::string_view> options
) {
    writer message(out);
    message.begin_message(backend::NegotiateProtocolVersion);
    message.i32(newest);
    message.u32(static_cast<std::uint32_t>(options.size()));
    for (const std::string_view option : options)
        message.cstring(option);
    message.end_message();
}

void encode_query(std::string& out, std::string_view query) {
    encode_text(out, frontend::Query, query);
}

void encode_parse(
    std::string& out,
    std::string_view statement,
    std::string_view query,
    std::span<const std::uint32_t> parameter_types
) {
    writer message(out);
    message.begin_message(frontend::Parse);
    message.cstring(statement);
    message.cstring(query);
    count(message, parameter_types.size());
    for (const std::uint32_t oid : parameter_types)
        message.u32(oid);
    message.end_message();
}

void encode_bind(std::string& out, const bind_arguments& arguments) {
    writer message(out);
    message.begin_message(frontend::Bind);
    message.cstring(arguments.portal);
    message.cstring(arguments.statement);
    formats(message, arguments.parameter_formats);
    count(message, arguments.parameters.size());
    for (const auto& value : arguments.parameters) {
        message.i32(value ? static_cast<std::int32_t>(value->size()) : -1);
        if (value)
            message.bytes(*value);
    }
    formats(message, arguments.result_formats);
    message.end_message();
}

void encode_describe(std::string& out, statement_or_portal what) {
    encode_target(out, frontend::Describe, what);
}

void encode_close(std::string& out, statement_or_portal what) {
    encode_target(out, frontend::Close, what);
}

void encode_execute(std::string& out, std::string_view portal, std::int32_t rows_max) {
    writer message(out);
    message.begin_message(frontend::Execute);
    message.cstring(portal);
    message.i32(rows_max);
    message.end_message();
}

void encode_sync(std::string& out) {
    encode_empty(out, frontend::Sync);
}

void encode_flush(std::string& out) {
    encode_empty(out, frontend::Flush);
}

void encode_terminate(std::string& out) {
    encode_empty(out, frontend::Terminate);
}

void encode_copy_fail(std::string& out, std::string_view reason) {
    encode_text(out, frontend::CopyFail, reason);
}

void encode_password_message(std::string& out, std::string_view password) {
    encode_text(out, frontend::PasswordMessage, password);
}

void encode_sasl_initial_response(
    std::string& out, std::string_view mechanism, std::string_view data
) {
    writer message(out);
    message.begin_message(frontend::SASLInitialResponse);
    message.cstring(mechanism);
    message.u32(static_cast<std::uint32_t>(data.size()));
    message.bytes(data);
    message.end_message();
}

void encode_sasl_response(std::string& out, std::string_view data) {
    writer message(out);
    message.begin_message(frontend::SASLResponse);
    message.bytes(data);
    message.end_message();
}

}  // namespace pgsluice::protocol
