#include "protocol/wire/messages.hpp"
#include "tests/unit/protocol/wire/exact_bytes.hpp"

#include <gmock/gmock.h>

#include <string>
#include <vector>

namespace pgsluice::protocol {
namespace {

using namespace std::literals;
using testing::HasSubstr;

// Whole messages, as a PostgreSQL 15 server sent them or took them without complaint.
constexpr auto notice_response =
    "N\x00\x00\x00\x84SNOTICE\x00VNOTICE\x00"
    "C01P01\x00Mcareful\x00"
    "Dd1\x00Hh1\x00WPL/pgSQL function inline_code_block line 1 at RAISE\x00"
    "Fpl_exec.c\x00L3907\x00Rexec_stmt_raise\x00\x00"sv;
constexpr auto error_response =
    "E\x00\x00\x00\xcfSERROR\x00VERROR\x00"
    "C42883\x00Mfunction nofunc(integer) does not exist\x00HNo function matches the given name "
    "and argument types. You might need to add explicit type casts.\x00P8\x00"
    "Fparse_func.c\x00L629\x00RParseFuncOrColumn\x00\x00"sv;
constexpr auto parameter_status = "S\x00\x00\x00\x17"
                                  "DateStyle\x00ISO, MDY\x00"sv;
constexpr auto backend_key_data = "K\x00\x00\x00\x0c\x00\x00"
                                  "Ci\xeb\xc8\x83\xfe"sv;
constexpr auto authentication_ok = "R\x00\x00\x00\x08\x00\x00\x00\x00"sv;
constexpr auto notification_response = "A\x00\x00\x00\x11\x00\x00"
                                       "Cich\x00hello\x00"sv;
constexpr auto ready_for_query = "Z\x00\x00\x00\x05I"sv;
constexpr auto command_complete = "C\x00\x00\x00\x0bLISTEN\x00"sv;
constexpr auto data_row = "D\x00\x00\x00\x16\x00\x03\x00\x00\x00\x04\x00\x00\x00*"
                          "\xff\xff\xff\xff\x00\x00\x00\x00"sv;
constexpr auto parse_message = "P\x00\x00\x00"
                               "5s1\x00select $1::int4, $2::text, $3::text\x00\x00\x02"
                               "\x00\x00\x00\x17\x00\x00\x00\x00"sv;
constexpr auto bind_message =
    "B\x00\x00\x00(p1\x00s1\x00\x00\x03\x00\x01\x00\x00\x00\x00\x00\x03"
    "\x00\x00\x00\x04\x00\x00\x00*\xff\xff\xff\xff\x00\x00\x00\x00\x00\x01\x00\x01"sv;
constexpr auto describe_message = "D\x00\x00\x00\x08Pp1\x00"sv;
constexpr auto close_message = "C\x00\x00\x00\x08Ss1\x00"sv;
constexpr auto query_message = "Q\x00\x00\x00\rselect 1\x00"sv;

constexpr std::string_view body_of(std::string_view message) {
    return message.substr(5);
}

// Tests keep the bytes alive for as long as they look at the views.
const exact_bytes& keep(std::string_view body) {
    static std::vector<std::unique_ptr<exact_bytes>> kept;
    return *kept.emplace_back(std::make_unique<exact_bytes>(body));
}

byte_view golden(std::string_view message) {
    return keep(body_of(message)).view();
}

TEST(DecodeMessages, ReadsErrorAndNoticeFields) {
    const auto error = decode_error_response(golden(error_response)).value();
    EXPECT_EQ(error.severity, "ERROR");
    EXPECT_EQ(error.sqlstate, "42883");
    EXPECT_EQ(error.message, "function nofunc(integer) does not exist");
    EXPECT_EQ(error.detail, "");
    EXPECT_THAT(std::string(error.hint), HasSubstr("explicit type casts"));
    EXPECT_FALSE(error.ends_session());

    const auto notice = decode_notice_response(golden(notice_response)).value();
    EXPECT_EQ(notice.severity, "NOTICE");
    const failure owned = notice.as_failure();
    EXPECT_EQ(owned.sqlstate, "01P01");
    EXPECT_EQ(owned.message, "careful");
    EXPECT_EQ(owned.detail, "d1");
    EXPECT_EQ(owned.hint, "h1");
}

TEST(DecodeMessages, PrefersTheSeverityThatIsNeverLocalized) {
    const auto both = decode_error_response(keep("SFEHLER\0VFATAL\0C57P01\0M\0\0"sv).view());
    EXPECT_EQ(both.value().severity, "FATAL");
    EXPECT_TRUE(both.value().ends_session());
    const auto old_server = decode_error_response(keep("SPANIC\0\0"sv).view()).value();
    EXPECT_EQ(old_server.severity, "PANIC");
    EXPECT_TRUE(old_server.ends_session());
    EXPECT_EQ(old_server.as_failure().sqlstate, "XX000") << "a failure always has an SQLSTATE";
}

TEST(DecodeMessages, ReadsWhatAServerTellsAboutTheSession) {
    const auto parameter = decode_parameter_status(golden(parameter_status)).value();
    EXPECT_EQ(parameter.name, "DateStyle");
    EXPECT_EQ(parameter.value, "ISO, MDY");
    const auto key = decode_backend_key_data(golden(backend_key_data)).value();
    EXPECT_EQ(key.pid, 17257);
    EXPECT_EQ(as_text(key.key), "\xeb\xc8\x83\xfe");
    EXPECT_EQ(decode_ready_for_query(golden(ready_for_query)).value(), 'I');
    EXPECT_EQ(decode_command_complete(golden(command_complete)).value(), "LISTEN");
    const auto notification = decode_notification_response(golden(notification_response)).value();
    EXPECT_EQ(notification.pid, 17257);
    EXPECT_EQ(notification.channel, "ch");
    EXPECT_EQ(notification.payload, "hello");
}

TEST(DecodeMessages, TakesCancelKeysOfProtocol32) {
    const std::string body = "\x00\x00\x00\x07"s + std::string(256, 'k');
    EXPECT_EQ(decode_backend_key_data(keep(body).view()).value().key.size(), 256U);
}

TEST(DecodeMessages, ReadsAuthenticationRequests) {
    EXPECT_EQ(decode_authentication(golden(authentication_ok)).value().code, authentication::Ok);
    const auto md5 = decode_authentication(keep("\0\0\0\5salt"sv).view()).value();
    EXPECT_EQ(md5.code, authentication::MD5Password);
    EXPECT_EQ(as_text(md5.data), "salt");
}

std::string joined(const value_list& values) {
    std::string text;
    for (const auto value : values)
        text += value ? std::to_string(value->size()) + ":" + std::string(as_text(*value)) + ";"
                      : "null;";
    return text;
}

TEST(DecodeMessages, ReadsColumnsInPlace) {
    const auto row = decode_data_row(golden(data_row)).value();
    EXPECT_EQ(row.size(), 3U);
    EXPECT_EQ(joined(row), "4:\0\0\0*;null;0:;"sv);
    EXPECT_EQ(decode_data_row(keep("\0\0"sv).view()).value().size(), 0U);
}

TEST(DecodeMessages, ReadsParse) {
    const auto parse = decode_parse(golden(parse_message)).value();
    EXPECT_EQ(parse.statement, "s1");
    EXPECT_EQ(parse.query, "select $1::int4, $2::text, $3::text");
    ASSERT_EQ(parse.parameter_types.size(), 2U);
    EXPECT_EQ(parse.parameter_types[0], 23U);
    EXPECT_EQ(parse.parameter_types[1], 0U);
}

TEST(DecodeMessages, ReadsBind) {
    const auto bind = decode_bind(golden(bind_message)).value();
    EXPECT_EQ(bind.portal, "p1");
    EXPECT_EQ(bind.statement, "s1");
    EXPECT_EQ(joined(bind.parameters), "4:\0\0\0*;null;0:;"sv);
    EXPECT_EQ(bind.parameter_format(0), 1);
    EXPECT_EQ(bind.parameter_format(2), 0);
    ASSERT_EQ(bind.result_formats.size(), 1U);
    EXPECT_EQ(bind.result_formats[0], 1);
}

TEST(DecodeMessages, KnowsTheShortFormsOfParameterFormats) {
    const auto none = decode_bind(keep("\0\0\0\0\0\1\0\0\0\1x\0\0"sv).view()).value();
    EXPECT_EQ(none.parameter_format(0), 0);
    const auto one = decode_bind(keep("\0\0\0\1\0\1\0\2\0\0\0\1x\0\0\0\0\0\0"sv).view()).value();
    EXPECT_EQ(one.parameter_format(0), 1);
    EXPECT_EQ(one.parameter_format(1), 1);
}

TEST(DecodeMessages, CountsParametersUnsignedAsTheServerDoes) {
    const std::size_t count = 65535;
    std::string body = "\0\0\0\0\xff\xff"s;
    for (std::size_t i = 0; i < count; ++i)
        body += "\xff\xff\xff\xff";
    body += "\0\0"s;
    const auto bind = decode_bind(keep(body).view()).value();
    EXPECT_EQ(bind.parameters.size(), count);
    EXPECT_EQ(std::distance(bind.parameters.begin(), bind.parameters.end()), 65535);
}

TEST(DecodeMessages, ReadsTheRestOfTheFrontendMessages) {
    EXPECT_EQ(decode_query(golden(query_message)).value(), "select 1");
    EXPECT_EQ(decode_describe(golden(describe_message)).value().kind, 'P');
    EXPECT_EQ(decode_close(golden(close_message)).value().kind, 'S');
    EXPECT_EQ(decode_close(golden(close_message)).value().name, "s1");
}

/// "" when it decodes, else the failure's text; one function for every kind of message.
template <auto Decode>
std::string complaint(byte_view body) {
    const auto outcome = Decode(body);
    return outcome ? "" : outcome.error().sqlstate + " " + outcome.error().message;
}

struct decoder {
    const char* name;
    std::string (*complaint_about)(byte_view body);
    std::string_view golden;
    bool open_ended = false;  ///< a cut or longer body may be well formed as well
};

const decoder decoders[] = {
    {"ErrorResponse", complaint<decode_error_response>, error_response},
    {"NoticeResponse", complaint<decode_notice_response>, notice_response},
    {"ParameterStatus", complaint<decode_parameter_status>, parameter_status},
    {"BackendKeyData", complaint<decode_backend_key_data>, backend_key_data, true},
    {"Authentication", complaint<decode_authentication>, authentication_ok, true},
    {"NotificationResponse", complaint<decode_notification_response>, notification_response},
    {"ReadyForQuery", complaint<decode_ready_for_query>, ready_for_query},
    {"CommandComplete", complaint<decode_command_complete>, command_complete},
    {"DataRow", complaint<decode_data_row>, data_row},
    {"Parse", complaint<decode_parse>, parse_message},
    {"Bind", complaint<decode_bind>, bind_message},
    {"Close", complaint<decode_close>, close_message},
    {"Describe", complaint<decode_describe>, describe_message},
    {"Query", complaint<decode_query>, query_message},
};

TEST(DecodeMessages, RefusesEveryCutAndEveryExcessByName) {
    for (const decoder& row : decoders) {
        SCOPED_TRACE(row.name);
        const std::string_view whole = body_of(row.golden);
        const std::string expected = "08P01 malformed "s + row.name + " message";
        EXPECT_EQ(row.complaint_about(exact_bytes(whole).view()), "");
        EXPECT_EQ(row.complaint_about(exact_bytes("").view()), expected);
        for (std::size_t cut = 1; cut < whole.size(); ++cut) {
            const auto complaint = row.complaint_about(exact_bytes(whole.substr(0, cut)).view());
            if (!row.open_ended || cut < 4) {
                EXPECT_EQ(complaint, expected) << "cut at " << cut;
            }
        }
        if (!row.open_ended) {
            EXPECT_EQ(row.complaint_about(exact_bytes(std::string(whole) + 'x').view()), expected);
        }
    }
}

TEST(DecodeMessages, RefusesWhatCannotBe) {
    const struct {
        const char* name;
        std::string (*complaint_about)(byte_view body);
        std::string body;
    } rows[] = {
        {"status X", complaint<decode_ready_for_query>, "X"},
        {"status NUL", complaint<decode_ready_for_query>, "\0"s},
        {"length -2 in a row", complaint<decode_data_row>, "\0\1\xff\xff\xff\xfe"s},
        {"length INT_MIN in a row", complaint<decode_data_row>, "\0\1\x80\0\0\0"s},
        {"length INT_MAX in a row", complaint<decode_data_row>, "\0\1\x7f\xff\xff\xff"s},
        {"65535 columns of nothing", complaint<decode_data_row>, "\xff\xff"s},
        {"65535 types of nothing", complaint<decode_parse>, "\0\0\xff\xff"s},
        {"65535 formats of nothing", complaint<decode_bind>, "\0\0\xff\xff"s},
        {"two formats, one parameter",
         complaint<decode_bind>,
         "\0\0\0\2\0\0\0\0\0\1\xff\xff\xff\xff\0\0"s},
        {"close of neither", complaint<decode_close>, "Xs1\0"s},
        {"describe of neither", complaint<decode_describe>, "\0\0"s},
        {"key of 3 bytes", complaint<decode_backend_key_data>, "\0\0\0\1abc"s},
        {"key of 257 bytes", complaint<decode_backend_key_data>, std::string(4 + 257, 'k')},
        {"field without end", complaint<decode_error_response>, "SERROR"s},
        {"fields without terminator", complaint<decode_error_response>, "SERROR\0"s},
        {"text behind the terminator", complaint<decode_error_response>, "SERROR\0\0x"s},
        {"second text in a Query", complaint<decode_query>, "select 1\0;\0"s},
    };
    for (const auto& row : rows)
        EXPECT_THAT(row.complaint_about(exact_bytes(row.body).view()), HasSubstr("08P01 malformed"))
            << row.name;
}

}  // namespace
}  // namespace pgsluice::protocol
