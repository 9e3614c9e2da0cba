#pragma once

#include "protocol/auth/secret.hpp"
#include "protocol/wire/wire.hpp"

#include <optional>
#include <string_view>

namespace pgsluice::protocol {

/// "md5" and 32 lower-case hexadecimal digits: how a role's password hash begins in pg_authid.
bool is_md5_hash(std::string_view text) noexcept;

/// "md5" + md5(password + user) in hexadecimal, the form pg_authid has. Empty when OpenSSL has no
/// MD5 (a FIPS build).
secret md5_hash(std::string_view password, std::string_view user);

/// The answer to AuthenticationMD5Password: "md5" + md5(digits of `hash` + salt), section 55.2.1
/// "Start-up". `hash` is one of md5_hash(); `salt` has four bytes. Empty without MD5.
secret md5_response(std::string_view hash, byte_view salt);

}  // namespace pgsluice::protocol
