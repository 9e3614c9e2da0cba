#pragma once

#include "protocol/errors.hpp"
#include "proxy/net/endpoint.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::proxy {

/// Where a client comes from, as ranges see it: the address alone, without port and scope. IPv4 is
/// kept as IPv4-mapped IPv6 (RFC 4291, section 2.5.5.2), so that both forms are one address.
struct client_address {
    std::array<std::uint8_t, 16> bytes{};  ///< network order
    bool is_local = false;                 ///< a unix socket: there is no address

    bool is_ipv4() const noexcept;
    /// What one host has to itself: an IPv4 address, the first 64 bits of an IPv6 address.
    std::array<std::uint8_t, 16> network() const noexcept;
    /// Anything but IPv4 and IPv6 is local.
    static client_address of(const endpoint& e) noexcept;

    friend bool operator==(const client_address&, const client_address&) = default;
};

/// A set of client addresses: CIDR ranges, each with a share in percent. The longest range that
/// holds an address decides about it, by its share; an address in no range is outside. IPv6 ranges
/// wider than the IPv4-mapped block (`::/0`) hold IPv6 addresses only. Immutable once made; any
/// thread may read it.
///
/// The share is taken by a hash of the address that never changes, neither with the range nor with
/// the version of the program: a client stays in or out, and a growing share only adds clients.
class address_set {
public:
    static constexpr std::size_t ranges_max = 4096;

    static address_set all();
    static address_set none() { return {}; }

    /// Reads `all`, `none`, or ranges: `10.0.0.0/16`, `2001:db8::/32=25%`, an address (the range of
    /// one), `local` (unix-socket clients). Fails on the first token that is wrong, quoting it.
    static result<address_set> parse(std::span<const std::string> tokens);

    /// Costs one search for each prefix length in the set.
    bool contains(const client_address& address) const noexcept;
    bool is_all() const noexcept { return is_all_; }
    /// Nobody can be inside: no range with a share, and not `local`.
    bool is_empty() const noexcept;

    /// The tokens that parse() reads back as this set, in one order whatever order was given.
    std::vector<std::string> tokens() const;

    /// Which percent the address falls into, 0 to 99: a range of share N holds those below N.
    static std::uint32_t percentile(const client_address& address) noexcept;

    friend bool operator==(const address_set&, const address_set&) = default;

private:
    struct range {
        std::array<std::uint8_t, 16> network{};
        std::uint8_t bits = 128;  ///< of the mapped form: 96 more than written for IPv4
        std::uint8_t percent = 100;

        std::string text() const;
        friend bool operator==(const range&, const range&) = default;
    };

    static result<range> parse_range(const std::string& token);
    static result<void> parse_prefix(const std::string& token, std::string_view text, range& into);

    bool is_all_ = false;
    bool has_local_ = false;
    std::vector<range> ranges_;  ///< the longest prefix first, then by network
};

}  // namespace pgsluice::proxy
