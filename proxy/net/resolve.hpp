#pragma once

#include "protocol/errors.hpp"
#include "proxy/net/endpoint.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace pgsluice::proxy {

/// Host and port, or a unix socket, as in "127.0.0.1:5432", "[::1]:5432", "/run/postgresql:5432".
/// Blocks while it resolves names; for the control plane.
result<std::vector<endpoint>> resolve(const std::string& host, std::uint16_t port);

/// The address to listen on: "host:port", "[::]:port" or "/socket/dir:port".
result<std::vector<endpoint>> resolve_listen(const std::string& text);

}  // namespace pgsluice::proxy
