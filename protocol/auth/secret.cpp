// Wiping and comparing by OpenSSL's own functions, which no compiler optimises away.

#include "protocol/auth/secret.hpp"

#include <openssl/crypto.h>

namespace pgsluice::protocol {

void wipe(void* memory, std::size_t bytes) noexcept {
    OPENSSL_cleanse(memory, bytes);
}

bool same_secret(byte_view one, byte_view other) noexcept {
    return one.size() == other.size() && CRYPTO_memcmp(one.data(), other.data(), one.size()) == 0;
}

}  // namespace pgsluice::protocol
