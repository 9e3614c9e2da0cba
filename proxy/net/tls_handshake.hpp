#pragma once

#include "protocol/errors.hpp"
#include "proxy/net/stream.hpp"
#include "proxy/net/tls_context.hpp"

#include <string>
#include <vector>

// How a connection comes to have TLS on it.

namespace pgsluice::proxy {

/// What went wrong, in words; empty when nothing did.
using tls_trouble = std::string;

/// Lets TLS begin on a client's connection; `read_ahead` is what it has sent of it already. On
/// trouble the client has OpenSSL's alert and nothing else can be told to it.
task<tls_trouble> secure_client(
    stream& client,
    wait_point& point,
    tls_context::pointer identity,
    std::vector<std::uint8_t> read_ahead,
    steady_time deadline
);

/// Asks a backend for TLS by SSLRequest ("SSL Session Encryption" in the manual) and lets it begin.
/// Does nothing for a null `rules`; leaves the stream plain where the backend has no TLS and that
/// is good enough. On trouble the stream may only be closed.
task<tls_trouble> secure_backend(
    stream& backend, wait_point& point, tls_context::pointer rules, steady_time deadline
);

}  // namespace pgsluice::proxy
