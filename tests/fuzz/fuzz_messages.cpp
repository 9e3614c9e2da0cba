// Decoders read nothing they were not given, and what decodes encodes to the same bytes.

#include "protocol/wire/messages.hpp"
#include "tests/fuzz/input.hpp"

#include <vector>

namespace {

using namespace pgsluice;
using namespace pgsluice::protocol;
using fuzz::touch;

void touch_all(const value_list& values) {
    std::size_t count = 0;
    for (const auto value : values) {
        ++count;
        if (value)
            touch(*value);
    }
    PGSLUICE_ASSERT(count == values.size());
}

void expect_same(const std::string& message, byte_view body) {
    PGSLUICE_ASSERT(std::string_view(message).substr(5) == as_text(body));
}

void look_into(const notice_fields& notice, byte_view) {
    const failure owned = notice.as_failure();
    PGSLUICE_ASSERT(!owned.sqlstate.empty());
    std::string again;
    encode_error_response(again, severity::fatal, owned);
    PGSLUICE_ASSERT(decode_error_response(as_bytes(again).subspan(5)).value().ends_session());
}
void look_into(const ParameterStatus& status, byte_view body) {
    std::string again;
    encode_parameter_status(again, status.name, status.value);
    expect_same(again, body);
}
void look_into(const BackendKeyData& key, byte_view body) {
    std::string again;
    encode_backend_key_data(again, key.pid, key.key);
    expect_same(again, body);
}
void look_into(const Authentication& request, byte_view) {
    touch(request.data);
}
void look_into(const NotificationResponse& notification, byte_view) {
    touch(notification.channel);
    touch(notification.payload);
}
void look_into(char status, byte_view body) {
    std::string again;
    encode_ready_for_query(again, status);
    expect_same(again, body);
}
void look_into(std::string_view text, byte_view body) {
    std::string again;
    encode_query(again, text);
    expect_same(again, body);
}
void look_into(const value_list& row, byte_view) {
    touch_all(row);
}
void look_into(const Parse& parse, byte_view body) {
    std::vector<std::uint32_t> types;
    for (std::size_t i = 0; i < parse.parameter_types.size(); ++i)
        types.push_back(parse.parameter_types[i]);
    std::string again;
    encode_parse(again, parse.statement, parse.query, types);
    expect_same(again, body);
}
void look_into(const Bind& bind, byte_view body) {
    const auto codes = [](const format_list& list) {
        std::vector<std::int16_t> copied;
        for (std::size_t i = 0; i < list.size(); ++i)
            copied.push_back(list[i]);
        return copied;
    };
    std::vector<std::optional<std::string_view>> values;
    for (const auto value : bind.parameters) {
        bind.parameter_format(values.size());
        values.push_back(value ? std::optional(as_text(*value)) : std::nullopt);
    }
    const auto parameter_formats = codes(bind.parameter_formats);
    const auto result_formats = codes(bind.result_formats);
    std::string again;
    encode_bind(again, {bind.portal, bind.statement, parameter_formats, values, result_formats});
    expect_same(again, body);
}
void look_into(const statement_or_portal& target, byte_view body) {
    std::string again;
    encode_close(again, target);
    expect_same(again, body);
}

template <auto Decode>
void run(byte_view body) {
    const auto decoded = Decode(body);
    if (decoded) {
        look_into(*decoded, body);
    } else {
        PGSLUICE_ASSERT(decoded.error().sqlstate == sqlstate::protocol_violation);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    constexpr void (*decoders[])(byte_view) = {
        run<decode_error_response>,
        run<decode_notice_response>,
        run<decode_parameter_status>,
        run<decode_backend_key_data>,
        run<decode_authentication>,
        run<decode_notification_response>,
        run<decode_ready_for_query>,
        run<decode_command_complete>,
        run<decode_data_row>,
        run<decode_query>,
        run<decode_parse>,
        run<decode_bind>,
        run<decode_close>,
        run<decode_describe>,
    };
    fuzz::input in(data, size);
    const auto run_one = decoders[in.byte() % std::size(decoders)];
    const fuzz::exact_block body(in.rest());
    run_one(body.view());
    return 0;
}
