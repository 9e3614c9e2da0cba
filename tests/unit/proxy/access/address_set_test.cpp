#include "proxy/access/address_set.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <cstring>
#include <map>
#include <netinet/in.h>
#include <random>

namespace pgsluice::proxy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

using tokens = std::vector<std::string>;

/// As accept() would give it.
client_address from(const std::string& text) {
    endpoint e;
    auto* in = reinterpret_cast<sockaddr_in*>(&e.address);
    auto* in6 = reinterpret_cast<sockaddr_in6*>(&e.address);
    if (text == "local") {
        e.address.ss_family = AF_UNIX;
    } else if (::inet_pton(AF_INET, text.c_str(), &in->sin_addr) == 1) {
        e.address.ss_family = AF_INET;
    } else {
        e.address.ss_family = AF_INET6;
        EXPECT_EQ(::inet_pton(AF_INET6, text.c_str(), &in6->sin6_addr), 1) << text;
    }
    return client_address::of(e);
}

address_set set_of(const tokens& given) {
    auto parsed = address_set::parse(given);
    EXPECT_TRUE(parsed.has_value()) << (parsed ? "" : parsed.error().message);
    return parsed ? *parsed : address_set::none();
}

std::string error_of(const tokens& given) {
    const auto parsed = address_set::parse(given);
    return parsed ? "" : parsed.error().message;
}

TEST(AddressSet, AllHoldsEverybodyAndNoneNobody) {
    for (const char* who : {"10.0.0.1", "::1", "local"}) {
        EXPECT_TRUE(address_set::all().contains(from(who))) << who;
        EXPECT_FALSE(address_set::none().contains(from(who))) << who;
    }
    EXPECT_EQ(set_of({"all"}), address_set::all());
    EXPECT_EQ(set_of({"none"}), address_set::none());
    EXPECT_TRUE(address_set::none().is_empty());
    EXPECT_FALSE(address_set::all().is_empty());
    EXPECT_TRUE(set_of({"10.0.0.0/8=0%"}).is_empty());
    EXPECT_FALSE(set_of({"local"}).is_empty());
}

TEST(AddressSet, MappedAddressesEqualTheirIpv4) {
    for (const tokens& range : {tokens{"10.0.0.0/16"}, tokens{"::ffff:10.0.0.0/112"}}) {
        const address_set set = set_of(range);
        EXPECT_TRUE(set.contains(from("10.0.255.1")));
        EXPECT_TRUE(set.contains(from("::ffff:10.0.255.1")));
        EXPECT_FALSE(set.contains(from("10.1.0.0")));
        EXPECT_FALSE(set.contains(from("::10.0.255.1")));
        EXPECT_THAT(set.tokens(), ElementsAre("10.0.0.0/16"));
    }
}

TEST(AddressSet, WideIpv6RangesHoldIpv6Only) {
    EXPECT_TRUE(set_of({"::/0"}).contains(from("2001:db8::1")));
    EXPECT_FALSE(set_of({"::/0"}).contains(from("10.0.0.1")));
    EXPECT_TRUE(set_of({"0.0.0.0/0"}).contains(from("10.0.0.1")));
    EXPECT_FALSE(set_of({"0.0.0.0/0"}).contains(from("2001:db8::1")));
}

TEST(AddressSet, UnixSocketClientsAreLocal) {
    EXPECT_TRUE(set_of({"local"}).contains(from("local")));
    EXPECT_FALSE(set_of({"0.0.0.0/0", "::/0"}).contains(from("local")));
    EXPECT_FALSE(set_of({"local"}).contains(from("127.0.0.1")));
}

TEST(AddressSet, LongestPrefixWins) {
    const address_set set = set_of({"10.1.0.0/16=0%", "10.0.0.0/8", "10.1.2.3"});
    EXPECT_TRUE(set.contains(from("10.2.0.0")));
    EXPECT_FALSE(set.contains(from("10.1.2.2")));
    EXPECT_TRUE(set.contains(from("10.1.2.3")));
    EXPECT_THAT(set.tokens(), ElementsAre("10.0.0.0/8", "10.1.0.0/16=0%", "10.1.2.3/32"));
}

TEST(AddressSet, QuotesTheTokenThatIsWrong) {
    const struct {
        tokens given;
        const char* message;
    } rows[] = {
        {{}, "no range is given"},
        {{"10.0.0.0/16", "10.0.0/8"}, "\"10.0.0/8\" is not an address range"},
        {{""}, "\"\" is not an address range"},
        {{"localhost"}, "\"localhost\" is not an address range"},
        {{"fe80::1%lo"}, "\"fe80::1%lo\" is not an address range"},
        {{"ALL"}, "\"ALL\" is not an address range"},
        {{"10.0.0.1/16"}, "\"10.0.0.1/16\" has bits set beyond its prefix, expected 10.0.0.0/16"},
        {{"10.0.0.1/16=5"}, "expected 10.0.0.0/16"},
        {{"2001:db8::1/32"}, "expected 2001:db8::/32"},
        {{"::ffff:10.0.0.1/112"}, "expected 10.0.0.0/16"},
        {{"10.0.0.0/33"}, "has no valid prefix length, expected a whole number from 0 to 32"},
        {{"::/129"}, "has no valid prefix length, expected a whole number from 0 to 128"},
        {{"10.0.0.0/"}, "has no valid prefix length"},
        {{"10.0.0.0/+8"}, "has no valid prefix length"},
        {{"10.0.0.0/8/8"}, "has no valid prefix length"},
        {{"10.0.0.0/8=101%"}, "\"10.0.0.0/8=101%\" has no valid share"},
        {{"10.0.0.0/8=-1%"}, "has no valid share"},
        {{"10.0.0.0/8="}, "has no valid share"},
        {{"10.0.0.0/8=%"}, "has no valid share"},
        {{"10.0.0.0/8=5%%"}, "has no valid share"},
        {{"10.0.0.0/8=2.5%"}, "has no valid share"},
        {{"local=5%"}, "\"local=5%\" is not an address range"},
        {{"all", "10.0.0.0/8"}, "\"all\" stands beside other ranges"},
        {{"10.0.0.0/8", "none"}, "\"none\" stands beside other ranges"},
        {{"10.0.0.0/8", "::ffff:10.0.0.0/104=5%"}, "is given twice"},
        {{"local", "local"}, "\"local\" is given twice"},
        {tokens(address_set::ranges_max + 1, "10.0.0.0/8"), "expected at most 4096"},
    };
    for (const auto& row : rows) {
        EXPECT_THAT(error_of(row.given), HasSubstr(row.message));
    }
}

/// Golden values: another hash would send clients of a running system to the other side.
TEST(AddressSet, SharesNeverChangeBetweenVersions) {
    EXPECT_EQ(address_set::percentile(from("10.0.0.1")), 60U);
    EXPECT_EQ(address_set::percentile(from("10.0.0.2")), 41U);
    EXPECT_EQ(address_set::percentile(from("192.168.1.77")), 62U);
    EXPECT_EQ(address_set::percentile(from("2001:db8::1")), 23U);
}

TEST(AddressSet, SharesGrowByAddingAndAreFair) {
    std::vector<client_address> clients;
    for (int i = 0; i < 10'000; ++i) {
        clients.push_back(from("10.1." + std::to_string(i / 250) + "." + std::to_string(i % 250)));
    }
    std::vector<bool> before(clients.size(), false);
    for (int percent = 0; percent <= 100; percent += 5) {
        const address_set set = set_of({"10.0.0.0/8=" + std::to_string(percent) + "%"});
        int inside = 0;
        for (std::size_t i = 0; i < clients.size(); ++i) {
            const bool is_inside = set.contains(clients[i]);
            EXPECT_TRUE(is_inside || !before[i]);
            before[i] = is_inside;
            inside += is_inside ? 1 : 0;
        }
        EXPECT_NEAR(inside, percent * 100, 200) << percent;
    }
    EXPECT_THAT(before, testing::Each(true));
}

/// The definition, word by word: an address and a range as strings of bits.
class naive_model {
public:
    void add(const std::string& address, unsigned bits, unsigned percent) {
        const client_address parsed = from(address);
        const bool is_ipv4 = address.find(':') == std::string::npos;
        ranges_[bits_of(parsed).substr(0, is_ipv4 ? 96 + bits : bits)] = percent;
    }
    bool contains(const client_address& address) const {
        const std::string bits = bits_of(address);
        const std::string_view mapped("000000000000000000000000000000000000000000000000"
                                      "000000000000000000000000000000001111111111111111");
        std::string longest;
        unsigned percent = 0;
        for (const auto& [prefix, share] : ranges_) {
            const bool is_other_family = bits.starts_with(mapped) && prefix.size() < 96;
            if (bits.starts_with(prefix) && prefix.size() >= longest.size() && !is_other_family) {
                longest = prefix;
                percent = share;
            }
        }
        return address_set::percentile(address) < percent;
    }

private:
    static std::string bits_of(const client_address& address) {
        std::string bits;
        for (const std::uint8_t byte : address.bytes) {
            for (int i = 7; i >= 0; --i) {
                bits += ((byte >> i) & 1) != 0 ? '1' : '0';
            }
        }
        return bits;
    }

    std::map<std::string, unsigned> ranges_;
};

/// Few distinct bytes, so that random ranges nest and random addresses hit them.
class address_source {
public:
    explicit address_source(unsigned seed) : random_(seed) {}

    unsigned below(unsigned n) { return static_cast<unsigned>(random_() % n); }

    /// An address with at most the first `bits` set.
    std::string address(bool is_ipv4, unsigned bits) {
        static constexpr unsigned bytes[] = {0x00, 0x01, 0x80, 0xFF, 0x0A};
        std::uint8_t raw[16] = {};
        const unsigned size = is_ipv4 ? 4 : 16;
        for (unsigned i = 0; i < size; ++i) {
            const unsigned kept = std::min(8U, bits > i * 8 ? bits - i * 8 : 0U);
            const unsigned byte = i == 0 && !is_ipv4 ? 0x20 : bytes[below(5)];
            raw[i] = static_cast<std::uint8_t>(byte & (0xFF00U >> kept));
        }
        char text[INET6_ADDRSTRLEN];
        return ::inet_ntop(is_ipv4 ? AF_INET : AF_INET6, raw, text, sizeof text);
    }

private:
    std::mt19937 random_;
};

TEST(AddressSet, EqualsTheNaiveModel) {
    std::size_t inside = 0;
    std::size_t asked = 0;
    for (unsigned seed = 0; seed < 300; ++seed) {
        address_source source(seed);
        naive_model model;
        std::map<std::string, std::string> given;
        for (unsigned n = source.below(25) + 1; n > 0; --n) {
            const bool is_ipv4 = source.below(2) == 0;
            const unsigned bits = source.below(is_ipv4 ? 33 : 129);
            const unsigned percent = source.below(2) == 0 ? 100 : source.below(101);
            const std::string network = source.address(is_ipv4, bits);
            const std::string range = network + "/" + std::to_string(bits);
            if (given.emplace(range, range + "=" + std::to_string(percent) + "%").second) {
                model.add(network, bits, percent);
            }
        }
        tokens list;
        for (const auto& [range, token] : given) {
            list.push_back(token);
        }
        const address_set set = set_of(list);
        EXPECT_EQ(set_of(set.tokens()), set);
        for (int n = 0; n < 200; ++n, ++asked) {
            const bool is_ipv4 = source.below(2) == 0;
            const std::string who = source.address(is_ipv4, is_ipv4 ? 32 : 128);
            ASSERT_EQ(set.contains(from(who)), model.contains(from(who)))
                << "seed " << seed << " address " << who;
            inside += set.contains(from(who)) ? 1 : 0;
        }
    }
    EXPECT_GT(inside, asked / 10);
    EXPECT_LT(inside, asked * 9 / 10);
}

}  // namespace
}  // namespace pgsluice::proxy
