#pragma once

#include "protocol/errors.hpp"
#include "protocol/wire/startup.hpp"
#include "protocol/wire/wire.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>

// What a load balancer says in front of a connection: for whom it connects. "The PROXY protocol,
// versions 1 & 2" (HAProxy, doc/proxy-protocol.txt), sections 2.1 and 2.2.
//
//   version 1 = "PROXY" SP family SP source SP destination SP source-port SP destination-port CRLF
//             | "PROXY UNKNOWN" anything CRLF                                at most 107 bytes
//   version 2 = signature:Byte12 version-command:Byte family-transport:Byte length:Int16
//               addresses TLVs                                               `length` counts both

namespace pgsluice::protocol {

/// The longest line of version 1, CRLF included.
inline constexpr std::size_t proxy_line_max_bytes = 107;

/// A header of version 2 may announce this much behind its first 16 bytes: addresses take 216 at
/// most, and what follows them, TLVs such as the name in a TLS certificate, is skipped.
inline constexpr std::size_t proxy_block_max_bytes = 4096;

/// Where the client that a load balancer speaks for comes from.
struct proxied_client {
    enum class origin : std::uint8_t {
        balancer,  ///< LOCAL or UNKNOWN: its own connection, a health check; the socket tells
        ipv4,
        ipv6,
        local,  ///< a unix socket on the balancer's machine
    };
    origin kind = origin::balancer;
    std::array<std::uint8_t, 16> address{};  ///< network order; of IPv4 the first four
    std::uint16_t port = 0;

    friend bool operator==(const proxied_client&, const proxied_client&) = default;
};

/// Which header a connection of our own begins with.
enum class proxy_version : std::uint8_t { none, v1, v2 };

/// Appends the header that says for whom this connection is made, and which address `client` has
/// reached; where that is of another family only its port is told. A client on a unix socket is
/// UNKNOWN in version 1, which has no word for it, and has no paths in version 2. Nothing for
/// `none`.
void encode_proxy_header(
    std::string& out,
    proxy_version version,
    const proxied_client& client,
    const proxied_client& reached
);

/// parse_proxy_header()'s answer when the header is complete.
struct complete_proxy_header {
    proxied_client client;
    std::size_t bytes_consumed;  ///< what follows them is the client's
};

/// Looks at all bytes received so far on a connection that has to begin with a header of either
/// version. Owns nothing between calls: pass the same bytes again, with more behind them. Fails as
/// early as the prefix allows, with 08P01, on anything that the specification does not have for a
/// stream.
result<std::variant<need_more, complete_proxy_header>> parse_proxy_header(byte_view received);

}  // namespace pgsluice::protocol
