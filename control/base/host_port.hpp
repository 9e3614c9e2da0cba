#pragma once

#include "protocol/errors.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace pgsluice::control {

/// Where a service listens or a backend is reached, not yet resolved. A host that begins with `/`
/// is the directory of a unix socket named `.s.PGSQL.PORT`, as in libpq's `host` parameter.
struct host_port {
    std::string host;
    std::uint16_t port = 0;

    bool is_socket() const { return host.starts_with('/'); }
    /// The socket file's path; only for is_socket().
    std::string socket_path() const;
    /// `host:port`, `[::1]:port` or `/dir:port`: what parse_host_port() reads back.
    std::string text() const;
    bool operator==(const host_port&) const = default;
};

/// The port of a listening unix socket directory that is given without one.
inline constexpr std::uint16_t listen_port_default = 6432;

/// Reads `host:port`, `[::]:port`, `/dir` (port `port_default`) or `/dir:port`. A TCP address needs
/// its port. Socket paths must fit sockaddr_un. The failure says what was expected.
result<host_port> parse_host_port(std::string_view text, std::uint16_t port_default);

}  // namespace pgsluice::control
