#include "protocol/wire/proxy_header.hpp"
#include "tests/unit/protocol/wire/exact_bytes.hpp"

#include <gmock/gmock.h>

#include <arpa/inet.h>
#include <random>
#include <string>

namespace pgsluice::protocol {
namespace {

using namespace std::literals;
using testing::HasSubstr;
using origin = proxied_client::origin;
using parse_result = result<std::variant<need_more, complete_proxy_header>>;

constexpr auto signature = "\r\n\r\n\0\r\nQUIT\n"sv;

parse_result parse(std::string_view bytes) {
    return parse_proxy_header(exact_bytes(bytes).view());
}

/// A header of version 2.
std::string block(char command, char family, std::string_view rest) {
    const auto size = static_cast<unsigned>(rest.size());
    return std::string(signature) + command + family + static_cast<char>(size >> 8) +
           static_cast<char>(size) + std::string(rest);
}

constexpr auto ipv4_block = "\x0a\x01\x02\x03\x7f\0\0\x01\xd4\x31\x19\x20"sv;
constexpr auto ipv6_block = "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"
                            "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\xd4\x31\x19\x20"sv;
// As a network load balancer of AWS sends: CRC-32C, then the id of its VPC endpoint.
constexpr auto tlvs = "\x03\0\x04\xa9\xb8\x7e\x8f\xea\0\x0d\x01vpce-08d2bf15"sv;

const std::string long_tlv = "\x04\x0f\xf1"s + std::string(proxy_block_max_bytes - 15, 'x');

struct good_row {
    const char* name;
    std::string bytes;
    origin kind;
    std::string address;  ///< as inet_ntop() writes it; empty for none
    std::uint16_t port = 0;
};

const std::vector<good_row>& good_rows() {
    static const std::vector<good_row> rows = {
        {"v1 TCP4",
         "PROXY TCP4 10.1.2.3 127.0.0.1 54321 6432\r\n",
         origin::ipv4,
         "10.1.2.3",
         54321},
        {"v1 TCP6",
         "PROXY TCP6 2001:db8::7 ::1 54321 6432\r\n",
         origin::ipv6,
         "2001:db8::7",
         54321},
        {"v1 longest",
         "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
         origin::ipv6,
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
         65535},
        {"v1 UNKNOWN", "PROXY UNKNOWN\r\n", origin::balancer, ""},
        {"v1 UNKNOWN with addresses", "PROXY UNKNOWN ff:: x 1 2 3\r\n", origin::balancer, ""},
        {"v2 TCP4", block('\x21', '\x11', ipv4_block), origin::ipv4, "10.1.2.3", 54321},
        {"v2 TCP6", block('\x21', '\x21', ipv6_block), origin::ipv6, "2001:db8::7", 54321},
        {"v2 TLVs",
         block('\x21', '\x11', std::string(ipv4_block) + std::string(tlvs)),
         origin::ipv4,
         "10.1.2.3",
         54321},
        {"v2 longest",
         block('\x21', '\x11', std::string(ipv4_block) + long_tlv),
         origin::ipv4,
         "10.1.2.3",
         54321},
        {"v2 UNIX", block('\x21', '\x31', std::string(216, 'p')), origin::local, ""},
        {"v2 LOCAL", block('\x20', '\0', ""), origin::balancer, ""},
        {"v2 LOCAL with addresses", block('\x20', '\x11', ipv4_block), origin::balancer, ""},
        {"v2 LOCAL of any family", block('\x20', '\x77', "?"), origin::balancer, ""},
        {"v2 UNSPEC", block('\x21', '\0', ""), origin::balancer, ""},
    };
    return rows;
}

std::string address_text(const proxied_client& client) {
    char text[INET6_ADDRSTRLEN] = "";
    if (client.kind == origin::ipv4) {
        ::inet_ntop(AF_INET, client.address.data(), text, sizeof text);
    } else if (client.kind == origin::ipv6) {
        ::inet_ntop(AF_INET6, client.address.data(), text, sizeof text);
    }
    return text;
}

TEST(ProxyHeader, KnowsEveryKindAtEverySplitPoint) {
    for (const good_row& row : good_rows()) {
        SCOPED_TRACE(row.name);
        for (std::size_t cut = 0; cut < row.bytes.size(); ++cut) {
            const auto outcome = parse(row.bytes.substr(0, cut));
            ASSERT_TRUE(outcome) << cut << ": " << outcome.error().message;
            const auto* more = std::get_if<need_more>(&*outcome);
            ASSERT_NE(more, nullptr) << cut;
            EXPECT_GT(more->bytes_wanted, cut);
            EXPECT_LE(more->bytes_wanted, row.bytes.size());
        }
        for (const auto behind : {""sv, "\0\0\0\x08\x04\xd2\x16\x2f"sv, "\r\n"sv}) {
            const auto outcome = parse(row.bytes + std::string(behind));
            ASSERT_TRUE(outcome) << outcome.error().message;
            const auto& whole = std::get<complete_proxy_header>(*outcome);
            EXPECT_EQ(whole.bytes_consumed, row.bytes.size());
            EXPECT_EQ(whole.client.kind, row.kind);
            EXPECT_EQ(address_text(whole.client), row.address);
            EXPECT_EQ(whole.client.port, row.port);
        }
    }
}

TEST(ProxyHeader, RefusesWhatTheSpecificationDoesNotHave) {
    const std::string line = "PROXY TCP4 10.1.2.3 127.0.0.1 54321 6432";
    const struct {
        const char* name;
        std::string bytes;
        const char* message;
    } rows[] = {
        {"an encryption request", "\0\0\0\x08\x04\xd2\x16\x2f"s, "begins like neither version"},
        {"lower case", "proxy TCP4", "begins like neither version"},
        {"another word", "PROXYv", "begins like neither version"},
        {"half a signature", "\r\n\r\n\0\r\nQUIX"s, "begins like neither version"},
        {"no CR", line + "\n", "does not end with CR LF"},
        {"only LF", "PROXY \n", "does not end with CR LF"},
        {"a family of its own", "PROXY UDP4 10.1.2.3 127.0.0.1 1 2\r\n", "none of TCP4, TCP6"},
        {"no family", "PROXY \r\n", "none of TCP4, TCP6"},
        {"no port", "PROXY TCP4 10.1.2.3 127.0.0.1 54321\r\n", "two addresses"},
        {"a port too many", line + " 1\r\n", "two addresses"},
        {"a space too many", line + " \r\n", "two addresses"},
        {"two spaces", "PROXY TCP4  10.1.2.3 127.0.0.1 1 2\r\n", "two addresses"},
        {"a big port", "PROXY TCP4 10.1.2.3 127.0.0.1 65536 2\r\n", "two addresses"},
        {"a signed port", "PROXY TCP4 10.1.2.3 127.0.0.1 -1 2\r\n", "two addresses"},
        {"the other family", "PROXY TCP6 10.1.2.3 127.0.0.1 1 2\r\n", "two addresses"},
        {"the other family again", "PROXY TCP4 ::1 ::1 1 2\r\n", "two addresses"},
        {"a NUL", "PROXY TCP4 10.1.2.3 127.0.0.1 1 2\0\r\n"s, "two addresses"},
        {"a name", "PROXY TCP4 localhost 127.0.0.1 1 2\r\n", "two addresses"},
        {"an endless line", "PROXY UNKNOWN " + std::string(93, 'x'), "longer than 107 bytes"},
        {"an endless line that ends",
         "PROXY UNKNOWN " + std::string(93, 'x') + "\r\n",
         "longer than 107 bytes"},
        {"version 1 in version 2", std::string(signature) + '\x11', "LOCAL or PROXY of version 2"},
        {"version 3", std::string(signature) + '\x31', "LOCAL or PROXY of version 2"},
        {"an unknown command", std::string(signature) + '\x22', "LOCAL or PROXY of version 2"},
        {"datagrams", block('\x21', '\x12', ipv4_block), "not those of a stream"},
        {"an unknown family", block('\x21', '\x41', ipv4_block), "not those of a stream"},
        {"an unknown transport", block('\x21', '\x10', ipv4_block), "not those of a stream"},
        {"IPv4 cut short", block('\x21', '\x11', ipv4_block.substr(1)), "too short"},
        {"IPv6 cut short", block('\x21', '\x21', ipv4_block), "too short"},
        {"UNIX cut short", block('\x21', '\x31', std::string(215, 'p')), "too short"},
        {"an oversized block", std::string(signature) + "\x21\x11\x10\x01"s, "4096 bytes"},
        {"an oversized LOCAL", std::string(signature) + "\x20\x00\xff\xff"s, "4096 bytes"},
    };
    for (const auto& row : rows) {
        SCOPED_TRACE(row.name);
        const auto outcome = parse(row.bytes);
        ASSERT_FALSE(outcome);
        EXPECT_EQ(outcome.error().sqlstate, "08P01");
        EXPECT_THAT(outcome.error().message, HasSubstr(row.message));
    }
}

bool accepts(std::string_view family, const std::string& address) {
    const auto outcome =
        parse("PROXY " + std::string(family) + " " + address + " " + address + " 1 2\r\n");
    return outcome.has_value();
}

TEST(ProxyHeader, ReadsAddressesAsInetPtonDoes) {
    std::mt19937 random(7);
    const std::string_view pieces[] = {
        ":", "::", "1", "0", "ffff", "12345", "a", "g", "1.2.3.4", ".", "255", "256", "01"};
    int accepted = 0;
    for (int i = 0; i < 200'000; ++i) {
        std::string text;
        for (std::size_t n = random() % 17; n > 0; --n) {
            text += pieces[random() % (n % 2 == 0 ? 3 : std::size(pieces))];
        }
        if (text.empty() || text.size() > 38) {
            continue;
        }
        std::uint8_t wanted[16];
        for (const auto& [family, name] : {std::pair(AF_INET, "TCP4"), {AF_INET6, "TCP6"}}) {
            const bool is_valid = ::inet_pton(family, text.c_str(), wanted) == 1;
            ASSERT_EQ(accepts(name, text), is_valid) << text;
            accepted += is_valid ? 1 : 0;
        }
    }
    EXPECT_GT(accepted, 500);
}

TEST(ProxyHeader, ReadsBackEveryAddressThatInetNtopWrites) {
    std::mt19937 random(11);
    for (int i = 0; i < 20'000; ++i) {
        proxied_client wanted{.kind = origin::ipv6, .address = {}, .port = 9};
        for (std::uint8_t& byte : wanted.address) {
            byte = static_cast<std::uint8_t>(random() % 3 == 0 ? random() : 0);
        }
        const std::string text = address_text(wanted);
        const auto outcome = parse("PROXY TCP6 " + text + " :: 9 1\r\n");
        ASSERT_TRUE(outcome) << text;
        ASSERT_EQ(std::get<complete_proxy_header>(*outcome).client, wanted) << text;
    }
}

TEST(ProxyHeader, IsReadBackAsItIsWritten) {
    const proxied_client ipv4{origin::ipv4, {10, 1, 2, 3}, 54321};
    const proxied_client ipv6{
        origin::ipv6, {0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7}, 1};
    const proxied_client local{origin::local, {}, 0};
    const proxied_client balancer{};
    for (const auto version : {proxy_version::v1, proxy_version::v2}) {
        for (const proxied_client& client : {ipv4, ipv6, local, balancer}) {
            for (const proxied_client& reached : {ipv4, ipv6, local}) {
                std::string header;
                encode_proxy_header(header, version, client, reached);
                const auto parsed = parse(header + "rest");
                ASSERT_TRUE(parsed.has_value()) << header;
                const auto& complete = std::get<complete_proxy_header>(*parsed);
                const bool has_no_word = version == proxy_version::v1 && client == local;
                EXPECT_EQ(complete.client, has_no_word ? balancer : client);
                EXPECT_EQ(complete.bytes_consumed, header.size());
            }
        }
    }
}

TEST(ProxyHeader, IsWrittenAsOthersWriteIt) {
    const proxied_client client{origin::ipv4, {10, 1, 2, 3}, 54321};
    const proxied_client reached{origin::ipv4, {127, 0, 0, 1}, 6432};
    std::string text;
    encode_proxy_header(text, proxy_version::none, client, reached);
    EXPECT_EQ(text, "");
    encode_proxy_header(text, proxy_version::v1, client, reached);
    EXPECT_EQ(text, "PROXY TCP4 10.1.2.3 127.0.0.1 54321 6432\r\n");
    text.clear();
    encode_proxy_header(text, proxy_version::v2, client, reached);
    EXPECT_EQ(text, block('\x21', '\x11', ipv4_block));
    text.clear();
    encode_proxy_header(text, proxy_version::v1, {origin::ipv6, {}, 1}, reached);
    EXPECT_EQ(text, "PROXY TCP6 0:0:0:0:0:0:0:0 0:0:0:0:0:0:0:0 1 6432\r\n");
}

}  // namespace
}  // namespace pgsluice::protocol
