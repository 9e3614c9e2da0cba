#include "protocol/wire/message_types.hpp"
#include "protocol/wire/startup.hpp"
#include "tests/unit/protocol/wire/exact_bytes.hpp"

#include <gmock/gmock.h>

#include <string>
#include <vector>

namespace pgsluice::protocol {
namespace {

using namespace std::literals;
using testing::HasSubstr;
using testing::Optional;

using parse_result = result<std::variant<need_more, complete_startup>>;

constexpr auto v30 = "\x00\x03\x00\x00"sv;

// As psql 15 sends them; the key belongs to a real BackendKeyData.
constexpr auto psql_startup =
    "\x00\x00\x00\x4c\x00\x03\x00\x00user\0alice\0database\0app\0application_name\0psql\0"
    "client_encoding\0UTF8\0\0"sv;
constexpr auto ssl_request = "\x00\x00\x00\x08\x04\xd2\x16\x2f"sv;
constexpr auto gssenc_request = "\x00\x00\x00\x08\x04\xd2\x16\x30"sv;
constexpr auto cancel_request =
    "\x00\x00\x00\x10\x04\xd2\x16\x2e\x00\x00\x1f\x72\xf4\xdd\xe7\xb2"sv;

parse_result parse(std::string_view bytes) {
    return parse_startup(exact_bytes(bytes).view());
}

std::string startup_of(std::string_view parameters, std::string_view code = v30) {
    return packet(std::string(code) + std::string(parameters));
}

template <class T>
T parsed(std::string_view bytes) {
    const auto outcome = parse(bytes);
    const auto* whole = outcome ? std::get_if<complete_startup>(&*outcome) : nullptr;
    const auto* found = whole ? std::get_if<T>(&whole->packet) : nullptr;
    if (found == nullptr)
        throw std::logic_error("not parsed: " + (outcome ? "" : outcome.error().message));
    return *found;
}

TEST(Startup, KnowsEveryKindAtEverySplitPoint) {
    const struct {
        const char* name;
        std::string_view bytes;
        std::size_t kind;
    } rows[] = {
        {"StartupMessage", psql_startup, 0},
        {"SSLRequest", ssl_request, 1},
        {"GSSENCRequest", gssenc_request, 2},
        {"CancelRequest", cancel_request, 3},
    };
    for (const auto& row : rows) {
        SCOPED_TRACE(row.name);
        for (std::size_t cut = 0; cut < row.bytes.size(); ++cut) {
            const auto outcome = parse(row.bytes.substr(0, cut));
            ASSERT_TRUE(outcome) << cut << ": " << outcome.error().message;
            const auto* more = std::get_if<need_more>(&*outcome);
            ASSERT_NE(more, nullptr) << cut;
            EXPECT_EQ(more->bytes_wanted, cut < 8 ? 8 : row.bytes.size()) << cut;
        }
        for (const auto behind : {""sv, "Q\0\0\0\x05"sv}) {
            const auto outcome = parse(std::string(row.bytes) + std::string(behind));
            ASSERT_TRUE(outcome);
            const auto& whole = std::get<complete_startup>(*outcome);
            EXPECT_EQ(whole.packet.index(), row.kind);
            EXPECT_EQ(whole.bytes_consumed, row.bytes.size());
        }
    }
}

TEST(Startup, KeepsParametersInOrderAndThePacketAsItCame) {
    const auto startup = parsed<StartupMessage>(psql_startup);
    EXPECT_EQ(startup.packet(), psql_startup);
    EXPECT_EQ(startup.major(), 3U);
    EXPECT_EQ(startup.minor(), 0U);
    std::string seen;
    for (const auto& [name, value] : startup.parameters())
        seen += std::string(name) + "=" + std::string(value) + ";";
    EXPECT_EQ(seen, "user=alice;database=app;application_name=psql;client_encoding=UTF8;");
    EXPECT_EQ(startup.user(), "alice");
    EXPECT_EQ(startup.database(), "app");
    EXPECT_EQ(startup.find("client_encoding"), "UTF8");
    EXPECT_EQ(startup.find("encoding"), std::nullopt);
    EXPECT_EQ(startup.options(), "");
}

TEST(Startup, TakesTheLastOfDuplicatesAsTheServerDoes) {
    const auto startup = parsed<StartupMessage>(
        startup_of("user\0nobody\0user\0postgres\0options\0-c a=1\0options\0-c b=2\0\0"sv)
    );
    EXPECT_EQ(startup.user(), "postgres");
    EXPECT_EQ(startup.options(), "-c b=2");
    EXPECT_EQ(startup.parameters().size(), 4U);
}

TEST(Startup, DatabaseDefaultsToTheUser) {
    EXPECT_EQ(parsed<StartupMessage>(startup_of("user\0bob\0\0"sv)).database(), "bob");
    EXPECT_EQ(parsed<StartupMessage>(startup_of("user\0bob\0database\0\0\0"sv)).database(), "bob");
    EXPECT_EQ(parsed<StartupMessage>(startup_of("\0"sv)).database(), "");
}

TEST(Startup, AnotherUserKeepsTheDatabaseThatWasMeant) {
    const auto named = parsed<StartupMessage>(psql_startup).as_user("pool");
    EXPECT_EQ(named.user(), "pool");
    EXPECT_EQ(named.database(), "app");
    EXPECT_EQ(named.find("application_name"), "psql");
    EXPECT_EQ(named.parameters().size(), 4U);
    const auto bare = parsed<StartupMessage>(startup_of("user\0alice\0\0"sv)).as_user("pool");
    EXPECT_EQ(bare.user(), "pool");
    EXPECT_EQ(bare.database(), "alice");
    EXPECT_EQ(parsed<StartupMessage>(bare.packet()).packet(), bare.packet());
}

TEST(Startup, LeavesNewerMinorVersionsToTheServer) {
    const auto newer = parsed<StartupMessage>(startup_of("user\0u\0\0"sv, "\x00\x03\x00\x02"sv));
    EXPECT_EQ(newer.minor(), 2U);
    const auto grease = parsed<StartupMessage>(startup_of("user\0u\0\0"sv, "\x00\x03\x27\x0f"sv));
    EXPECT_EQ(grease.minor(), 9999U);
}

TEST(Startup, DetectsReplicationConnections) {
    const struct {
        std::string_view parameters;
        bool wants;
    } rows[] = {
        {"user\0u\0\0"sv, false},
        {"replication\0database\0\0"sv, true},
        {"replication\0true\0\0"sv, true},
        {"replication\0on\0\0"sv, true},
        {"replication\0001\0\0"sv, true},
        {"replication\0false\0\0"sv, false},
        {"replication\0F\0\0"sv, false},
        {"replication\0Off\0\0"sv, false},
        {"replication\0n\0\0"sv, false},
        {"replication\0000\0\0"sv, false},
        // The server refuses these; until it has, nobody should take them for ordinary sessions.
        {"replication\0o\0\0"sv, true},
        {"replication\0falsey\0\0"sv, true},
        {"replication\0\0\0"sv, true},
        {"replication\0true\0replication\0off\0\0"sv, false},
    };
    for (const auto& row : rows)
        EXPECT_EQ(parsed<StartupMessage>(startup_of(row.parameters)).wants_replication(), row.wants)
            << row.parameters;
}

TEST(Startup, AcceptsThePacketLengthsOfTheServer) {
    const auto of_size = [](std::size_t bytes) {
        const std::string head("user\0u\0options\0"sv);
        return startup_of(head + std::string(bytes - 8 - head.size() - 2, ' ') + "\0\0"s);
    };
    EXPECT_EQ(parsed<StartupMessage>(of_size(10004)).packet().size(), 10004U);
    const auto too_long = parse(of_size(10005).substr(0, 4));
    ASSERT_FALSE(too_long) << "refused as soon as the length is known";
    EXPECT_EQ(too_long.error().sqlstate, "08P01");
}

TEST(Startup, SaysWhatIsWrong) {
    const struct {
        const char* name;
        std::string bytes;
        const char* sqlstate;
        const char* message;
    } rows[] = {
        {"length 0", "\0\0\0\0"s, "08P01", "invalid length of startup packet"},
        {"length 7", "\0\0\0\7"s, "08P01", "invalid length of startup packet"},
        {"negative length", "\xff\xff\xff\xff"s, "08P01", "invalid length of startup packet"},
        {"INT_MIN length", "\x80\0\0\0"s, "08P01", "invalid length of startup packet"},
        {"HTTP", "GET / HTTP/1.1\r\n"s, "08P01", "invalid length of startup packet"},
        {"TLS without asking", "\x16\x03\x01\x02\x00\x01"s, "08P01", "invalid length of startup"},
        {"protocol 2.0",
         packet("\0\2\0\0"sv),
         "0A000",
         "unsupported frontend protocol 2.0: server supports 3.0 to 3.2"},
        {"protocol 4.0, early",
         "\0\0\x20\0\0\4\0\0"s,
         "0A000",
         "unsupported frontend protocol 4.0"},
        {"unknown request",
         packet("\x04\xd2\x16\x31"sv),
         "0A000",
         "unsupported frontend protocol 1234.5681"},
        {"no parameters, no terminator",
         startup_of(""),
         "08P01",
         "invalid startup packet layout: expected terminator as last byte"},
        {"unterminated name", startup_of("user"), "08P01", "expected terminator"},
        {"name without value", startup_of("user\0"sv), "08P01", "expected terminator"},
        {"unterminated value", startup_of("user\0bob"sv), "08P01", "expected terminator"},
        {"no terminator", startup_of("user\0bob\0"sv), "08P01", "expected terminator"},
        {"early terminator", startup_of("user\0bob\0\0x"sv), "08P01", "expected terminator"},
        {"two terminators", startup_of("user\0bob\0\0\0"sv), "08P01", "expected terminator"},
        {"long SSLRequest", packet("\x04\xd2\x16\x2fx"sv), "08P01", "invalid length"},
        {"long GSSENCRequest", packet("\x04\xd2\x16\x30x"sv), "08P01", "invalid length"},
        {"cancel without a key",
         packet("\x04\xd2\x16\x2e\0\0\0\1"sv),
         "08P01",
         "invalid length of cancel request packet"},
        {"cancel without a pid",
         packet("\x04\xd2\x16\x2e\0\0"sv),
         "08P01",
         "invalid length of can"},
        {"short cancel key", packet("\x04\xd2\x16\x2e\0\0\0\1abc"sv), "08P01", "invalid length of"},
        {"long cancel key",
         packet("\x04\xd2\x16\x2e\0\0\0\1"s + std::string(257, 'k')),
         "08P01",
         "invalid length of cancel request packet"},
    };
    for (const auto& row : rows) {
        SCOPED_TRACE(row.name);
        const auto outcome = parse(row.bytes);
        ASSERT_FALSE(outcome);
        EXPECT_EQ(outcome.error().sqlstate, row.sqlstate);
        EXPECT_THAT(outcome.error().message, HasSubstr(row.message));
    }
}

TEST(Startup, TakesCancelKeysOfAnyAllowedLength) {
    const auto plain = parsed<CancelRequest>(cancel_request);
    EXPECT_EQ(plain.pid, 8050);
    EXPECT_EQ(plain.key, "\xf4\xdd\xe7\xb2");
    for (const std::size_t length : {4U, 32U, 256U}) {
        const std::string key(length, '\xa5');
        std::string bytes;
        encode_cancel_request(bytes, -7, as_bytes(key));
        const auto parsed_back = parsed<CancelRequest>(bytes);
        EXPECT_EQ(parsed_back.pid, -7);
        EXPECT_EQ(parsed_back.key, key);
    }
}

TEST(Startup, EncodesWhatItParses) {
    std::string bytes;
    const startup_parameter parameters[] = {
        {"user", "alice"},
        {"database", "app"},
        {"application_name", "psql"},
        {"client_encoding", "UTF8"}};
    encode_startup(bytes, startup_code::StartupMessage, parameters);
    EXPECT_EQ(bytes, psql_startup);

    bytes.clear();
    encode_startup(bytes, startup_code::StartupMessage32, {});
    EXPECT_EQ(parsed<StartupMessage>(bytes).minor(), 2U);

    bytes.clear();
    encode_cancel_request(bytes, 8050, as_bytes("\xf4\xdd\xe7\xb2"));
    EXPECT_EQ(bytes, cancel_request);
}

TEST(Startup, SurvivesBeingMoved) {
    auto small = parsed<StartupMessage>(startup_of("\0"sv));  // short enough to sit in the object
    const StartupMessage moved = std::move(small);
    EXPECT_TRUE(moved.parameters().empty());
    EXPECT_EQ(moved.major(), 3U);
}

}  // namespace
}  // namespace pgsluice::protocol
