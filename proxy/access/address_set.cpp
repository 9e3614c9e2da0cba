// Ranges as text and as sorted prefixes. A lookup masks the address to each prefix length that
// occurs, the longest first, and searches for it among the networks of that length.

#include "proxy/access/address_set.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <charconv>
#include <cstring>
#include <netinet/in.h>
#include <optional>
#include <utility>

namespace pgsluice::proxy {

namespace {

using address_bytes = std::array<std::uint8_t, 16>;

constexpr std::size_t mapped_bits = 96;
constexpr std::size_t mapped_bytes = mapped_bits / 8;
constexpr address_bytes mapped_prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

bool is_mapped(const address_bytes& bytes) {
    return std::equal(mapped_prefix.begin(), mapped_prefix.begin() + mapped_bytes, bytes.begin());
}

address_bytes masked(address_bytes bytes, std::size_t bits) {
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        const std::size_t kept = std::min<std::size_t>(8, bits > i * 8 ? bits - i * 8 : 0);
        bytes[i] = static_cast<std::uint8_t>(bytes[i] & (0xFF00U >> kept));
    }
    return bytes;
}

failure wrong(const std::string& token, std::string_view what) {
    return {"22023", "\"" + token + "\" " + std::string(what), {}, {}};
}

/// The whole text as a number of at most `max`.
std::optional<std::uint8_t> small_number(std::string_view text, unsigned max) {
    unsigned number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size() || number > max) {
        return std::nullopt;
    }
    return static_cast<std::uint8_t>(number);
}

/// IPv4 in its mapped form; nothing when `text` is no address.
std::optional<address_bytes> parse_address(const std::string& text) {
    address_bytes bytes = mapped_prefix;
    if (::inet_pton(AF_INET, text.c_str(), bytes.data() + mapped_bytes) == 1 ||
        ::inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1) {
        return bytes;
    }
    return std::nullopt;
}

std::string text_of(const address_bytes& bytes) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (is_mapped(bytes)) {
        ::inet_ntop(AF_INET, bytes.data() + mapped_bytes, text.data(), text.size());
    } else {
        ::inet_ntop(AF_INET6, bytes.data(), text.data(), text.size());
    }
    return text.data();
}

}  // namespace

bool client_address::is_ipv4() const noexcept {
    return !is_local && is_mapped(bytes);
}

std::array<std::uint8_t, 16> client_address::network() const noexcept {
    std::array<std::uint8_t, 16> whole = bytes;
    if (!is_ipv4()) {
        std::fill(whole.begin() + 8, whole.end(), std::uint8_t{0});
    }
    return whole;
}

client_address client_address::of(const endpoint& e) noexcept {
    client_address address;
    if (e.address.ss_family == AF_INET) {
        address.bytes = mapped_prefix;
        const auto* in = reinterpret_cast<const sockaddr_in*>(&e.address);
        std::memcpy(address.bytes.data() + mapped_bytes, &in->sin_addr, sizeof in->sin_addr);
    } else if (e.address.ss_family == AF_INET6) {
        const auto* in = reinterpret_cast<const sockaddr_in6*>(&e.address);
        std::memcpy(address.bytes.data(), &in->sin6_addr, address.bytes.size());
    } else {
        address.is_local = true;
    }
    return address;
}

std::string address_set::range::text() const {
    const unsigned written = is_mapped(network) ? bits - unsigned{mapped_bits} : bits;
    return text_of(network) + "/" + std::to_string(written) +
           (percent == 100 ? "" : "=" + std::to_string(percent) + "%");
}

address_set address_set::all() {
    address_set set;
    set.is_all_ = true;
    set.has_local_ = true;
    return set;
}

/// ADDRESS or ADDRESS/BITS.
result<void>
address_set::parse_prefix(const std::string& token, std::string_view text, range& into) {
    const std::size_t slash = text.find('/');
    const std::string address(text.substr(0, slash));
    const auto bytes = parse_address(address);
    if (!bytes) {
        return wrong(
            token,
            "is not an address range, expected ADDRESS/BITS or ADDRESS/BITS=PERCENT%, local, all "
            "or none"
        );
    }
    const bool is_dotted = address.find(':') == std::string::npos;
    into.bits = 128;
    if (slash != std::string_view::npos) {
        const unsigned written_max = is_dotted ? 32 : 128;
        const auto written = small_number(text.substr(slash + 1), written_max);
        if (!written) {
            return wrong(
                token,
                "has no valid prefix length, expected a whole number from 0 to " +
                    std::to_string(written_max)
            );
        }
        into.bits = static_cast<std::uint8_t>(*written + (is_dotted ? mapped_bits : 0));
    }
    into.network = masked(*bytes, into.bits);
    if (into.network != *bytes) {
        return wrong(token, "has bits set beyond its prefix, expected " + into.text());
    }
    return {};
}

result<address_set::range> address_set::parse_range(const std::string& token) {
    const std::size_t equals = token.find('=');
    std::uint8_t percent = 100;
    if (equals != std::string::npos) {
        std::string_view share = std::string_view(token).substr(equals + 1);
        if (share.ends_with('%')) {
            share.remove_suffix(1);
        }
        const auto parsed = small_number(share, 100);
        if (!parsed) {
            return wrong(
                token, "has no valid share, expected a whole number of percent from 0 to 100"
            );
        }
        percent = *parsed;
    }
    range parsed;
    const std::string_view prefix = std::string_view(token).substr(0, equals);
    if (auto read = parse_prefix(token, prefix, parsed); !read) {
        return read.error();
    }
    parsed.percent = percent;
    return parsed;
}

result<address_set> address_set::parse(std::span<const std::string> tokens) {
    if (tokens.size() > ranges_max) {
        return failure{
            "22023",
            std::to_string(tokens.size()) + " ranges are given, expected at most " +
                std::to_string(ranges_max),
            {},
            {}};
    }
    address_set set;
    for (const std::string& token : tokens) {
        if (token == "all" || token == "none") {
            if (tokens.size() != 1) {
                return wrong(token, "stands beside other ranges, expected it alone");
            }
            return token == "all" ? all() : none();
        }
        if (token == "local") {
            if (std::exchange(set.has_local_, true)) {
                return wrong(token, "is given twice, expected each range once");
            }
            continue;
        }
        auto parsed = parse_range(token);
        if (!parsed) {
            return parsed.error();
        }
        set.ranges_.push_back(*parsed);
    }
    if (tokens.empty()) {
        return failure{"22023", "no range is given, expected ranges, all or none", {}, {}};
    }
    const auto before = [](const range& a, const range& b) {
        return a.bits != b.bits ? a.bits > b.bits : a.network < b.network;
    };
    std::sort(set.ranges_.begin(), set.ranges_.end(), before);
    const auto twice = std::adjacent_find(
        set.ranges_.begin(),
        set.ranges_.end(),
        [](const range& a, const range& b) { return a.bits == b.bits && a.network == b.network; }
    );
    if (twice != set.ranges_.end()) {
        return wrong(twice->text(), "is given twice, expected each range once");
    }
    return set;
}

bool address_set::contains(const client_address& address) const noexcept {
    if (is_all_ || address.is_local) {
        return has_local_;
    }
    const bool is_ipv4 = address.is_ipv4();
    auto level = ranges_.begin();
    while (level != ranges_.end()) {
        const std::uint8_t bits = level->bits;
        if (is_ipv4 && bits < mapped_bits) {
            break;
        }
        const auto end = std::partition_point(level, ranges_.end(), [bits](const range& each) {
            return each.bits == bits;
        });
        const address_bytes network = masked(address.bytes, bits);
        const auto found = std::lower_bound(
            level,
            end,
            network,
            [](const range& each, const address_bytes& wanted) { return each.network < wanted; }
        );
        if (found != end && found->network == network) {
            return percentile(address) < found->percent;
        }
        level = end;
    }
    return false;
}

bool address_set::is_empty() const noexcept {
    return !is_all_ && !has_local_ &&
           std::all_of(ranges_.begin(), ranges_.end(), [](const range& each) {
               return each.percent == 0;
           });
}

std::vector<std::string> address_set::tokens() const {
    if (is_all_) {
        return {"all"};
    }
    std::vector<std::string> texts;
    if (has_local_) {
        texts.emplace_back("local");
    }
    // The widest first: as an operator would tell them, the exceptions last.
    for (auto each = ranges_.rbegin(); each != ranges_.rend(); ++each) {
        texts.push_back(each->text());
    }
    return texts.empty() ? std::vector<std::string>{"none"} : texts;
}

/// FNV-1a, then the finalizer of MurmurHash3, which spreads neighbouring addresses.
std::uint32_t address_set::percentile(const client_address& address) noexcept {
    std::uint64_t hash = 0xCBF29CE484222325;
    for (const std::uint8_t byte : address.bytes) {
        hash = (hash ^ byte) * 0x100000001B3;
    }
    hash = (hash ^ (hash >> 33)) * 0xFF51AFD7ED558CCD;
    hash = (hash ^ (hash >> 33)) * 0xC4CEB9FE1A85EC53;
    hash ^= hash >> 33;
    return static_cast<std::uint32_t>(hash % 100);
}

}  // namespace pgsluice::proxy
