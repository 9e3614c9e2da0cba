#pragma once

#include <string>
#include <sys/socket.h>

namespace pgsluice::proxy {

/// A socket address that was resolved by the control plane; workers never resolve names.
struct endpoint {
    sockaddr_storage address{};
    socklen_t length = 0;
    std::string text;  ///< as an operator would write it: "127.0.0.1:5432", "/run/pg/.s.PGSQL.5432"
};

/// The text of an address, numeric: "127.0.0.1:5432", "[::1]:5432", "/run/pg/.s.PGSQL.5432"; "unix"
/// for a client on a unix socket.
std::string address_text(const endpoint& e);

}  // namespace pgsluice::proxy
