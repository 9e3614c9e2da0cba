#pragma once

#include <cstdint>

namespace pgsluice::proxy {

/// How a client shows who it is.
enum class login_method : std::uint8_t {
    passthrough,    ///< to its backend, whose questions are relayed
    trust,          ///< not at all, or to its backend if nothing is known to answer for it
    scram_sha_256,  ///< to the proxy
    md5,            ///< to the proxy, by SCRAM where the list has a verifier
    cert,           ///< by a certificate for its user's name, which TLS has verified
    peer,           ///< by the name the operating system has for it, on a unix socket
    reject,         ///< not at all: it is refused
};

}  // namespace pgsluice::proxy
