#include "protocol/wire/messages.hpp"
#include "tests/unit/protocol/wire/exact_bytes.hpp"

#include <gmock/gmock.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace pgsluice::protocol {
namespace {

using namespace std::literals;

TEST(EncodeMessages, ErrorCarriesEveryField) {
    const failure what{"57P01", "ended", "service app", "reconnect"};
    std::string out;
    encode_error_response(out, severity::fatal, what);
    EXPECT_EQ(out, message('E', "SFATAL\0VFATAL\0C57P01\0Mended\0Dservice app\0Hreconnect\0\0"sv));
    out.clear();
    encode_error_response(out, severity::error, {"25006", "read-only", "", ""});
    EXPECT_EQ(out, message('E', "SERROR\0VERROR\0C25006\0Mread-only\0\0"sv));
    out.clear();
    encode_notice_response(out, {"00000", "held", "", ""});
    EXPECT_EQ(out, message('N', "SNOTICE\0VNOTICE\0C00000\0Mheld\0\0"sv));
}

TEST(EncodeMessages, ErrorComesBackAsItWent) {
    const failure what{"57P03", "m", "d", "h"};
    std::string out;
    encode_error_response(out, severity::error, what);
    const exact_bytes body(std::string_view(out).substr(5));
    const auto back = decode_error_response(body.view()).value().as_failure();
    EXPECT_EQ(back.sqlstate, what.sqlstate);
    EXPECT_EQ(back.message, what.message);
    EXPECT_EQ(back.detail, what.detail);
    EXPECT_EQ(back.hint, what.hint);
}

/// Bytes that a PostgreSQL 15 server sent, or took and acted on, and what should make the same.
struct golden_row {
    std::function<void(std::string&)> encode;
    std::string_view golden;
};

void expect_golden(const std::vector<golden_row>& rows) {
    for (const auto& row : rows) {
        std::string out = "what was there";
        row.encode(out);
        EXPECT_EQ(out, "what was there" + std::string(row.golden));
    }
}

TEST(EncodeMessages, BackendMessagesMatchGoldenBytes) {
    const std::string_view options[] = {"_pq_.foo"};
    expect_golden({
        {[](auto& out) { encode_ready_for_query(out, 'I'); }, "Z\x00\x00\x00\x05I"sv},
        {encode_authentication_ok, "R\x00\x00\x00\x08\x00\x00\x00\x00"sv},
        {[](auto& out) { encode_parameter_status(out, "DateStyle", "ISO, MDY"); },
         "S\x00\x00\x00\x17"
         "DateStyle\x00ISO, MDY\x00"sv},
        {[](auto& out) { encode_backend_key_data(out, 17257, as_bytes("\xeb\xc8\x83\xfe")); },
         "K\x00\x00\x00\x0c\x00\x00"
         "Ci\xeb\xc8\x83\xfe"sv},
        {[&](auto& out) { encode_negotiate_protocol_version(out, 196608, options); },
         "v\x00\x00\x00\x15\x00\x03\x00\x00\x00\x00\x00\x01_pq_.foo\x00"sv},
        {[](auto& out) { encode_negotiate_protocol_version(out, 196608, {}); },
         "v\x00\x00\x00\x0c\x00\x03\x00\x00\x00\x00\x00\x00"sv},
    });
}

TEST(EncodeMessages, FrontendMessagesMatchGoldenBytes) {
    const std::int16_t parameter_formats[] = {1, 0, 0};
    const std::int16_t result_formats[] = {1};
    const std::optional<std::string_view> parameters[] = {"\0\0\0*"sv, std::nullopt, ""sv};
    const std::uint32_t types[] = {23, 0};
    expect_golden({
        {[](auto& out) { encode_query(out, "select 1"); }, "Q\x00\x00\x00\rselect 1\x00"sv},
        {[&](auto& out) { encode_parse(out, "s1", "select $1::int4, $2::text, $3::text", types); },
         "P\x00\x00\x00"
         "5s1\x00select $1::int4, $2::text, $3::text\x00\x00\x02"
         "\x00\x00\x00\x17\x00\x00\x00\x00"sv},
        {[](auto& out) { encode_parse(out, "", "nonsense"); },
         "P\x00\x00\x00\x10\x00nonsense\x00\x00\x00"sv},
        {[&](auto& out) {
             encode_bind(
                 out,
                 {.portal = "p1",
                  .statement = "s1",
                  .parameter_formats = parameter_formats,
                  .parameters = parameters,
                  .result_formats = result_formats}
             );
         },
         "B\x00\x00\x00(p1\x00s1\x00\x00\x03\x00\x01\x00\x00\x00\x00\x00\x03\x00\x00\x00\x04"
         "\x00\x00\x00*\xff\xff\xff\xff\x00\x00\x00\x00\x00\x01\x00\x01"sv},
        {[](auto& out) { encode_bind(out, {}); },
         "B\x00\x00\x00\x0c\x00\x00\x00\x00\x00\x00\x00\x00"sv},
        {[](auto& out) {
             encode_describe(out, {'P', "p1"});
         },
         "D\x00\x00\x00\x08Pp1\x00"sv},
        {[](auto& out) {
             encode_close(out, {'S', "s1"});
         },
         "C\x00\x00\x00\x08Ss1\x00"sv},
        {[](auto& out) { encode_execute(out, "p1", 10); },
         "E\x00\x00\x00\x0bp1\x00\x00\x00\x00\x0a"sv},
        {[](auto& out) { encode_execute(out, ""); }, "E\x00\x00\x00\x09\x00\x00\x00\x00\x00"sv},
        {encode_sync, "S\x00\x00\x00\x04"sv},
        {encode_flush, "H\x00\x00\x00\x04"sv},
        {encode_terminate, "X\x00\x00\x00\x04"sv},
        {[](auto& out) { encode_copy_fail(out, "enough"); },
         "f\x00\x00\x00\x0b"
         "enough\x00"sv},
        {[](auto& out) { encode_password_message(out, "hush"); }, "p\x00\x00\x00\x09hush\x00"sv},
    });
}

TEST(EncodeMessages, BindComesBackAsItWent) {
    const std::optional<std::string_view> parameters[] = {"one"sv, std::nullopt, ""sv};
    std::string out;
    encode_bind(out, {.portal = "", .statement = "s", .parameters = parameters});
    const exact_bytes body(std::string_view(out).substr(5));
    const auto bind = decode_bind(body.view()).value();
    std::vector<std::optional<std::string>> back;
    for (const auto value : bind.parameters)
        back.push_back(value ? std::optional(std::string(as_text(*value))) : std::nullopt);
    EXPECT_THAT(back, testing::ElementsAre("one", std::nullopt, ""));
    EXPECT_EQ(bind.parameter_format(2), 0);
}

}  // namespace
}  // namespace pgsluice::protocol
