#pragma once

#include "protocol/auth/secret.hpp"

#include <string_view>

namespace pgsluice::protocol {

/// The password as SCRAM hashes it: SASLprep (RFC 4013) with the server's leniency: ASCII stays as
/// it is, and what is not valid UTF-8 or has prohibited characters is used as raw bytes.
///
/// Left out: NFKC normalization and the bidirectional rule. Composed text, which keyboards give,
/// comes out right; for other text give the SCRAM verifier instead of the password.
secret saslprep(std::string_view password);

}  // namespace pgsluice::protocol
