// OpenSSL seals tickets with one key as long as a context lives, if nobody else does it: whoever
// gets that key can read what was said in TLS 1.2 sessions all the time. So we do it.

#include "proxy/net/tls_tickets.hpp"

#include "protocol/errors.hpp"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

#include <cstring>

namespace pgsluice::proxy {

namespace {

void free_keys(void*, void* keys, CRYPTO_EX_DATA*, int, long, void*) {
    delete static_cast<ticket_keys*>(keys);
}

/// Where a context has its keys, which live as long as it does.
int slot() {
    static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, free_keys);
    return index;
}

bool set_mac_key(EVP_MAC_CTX* mac, ticket_keys::key& key) {
    char digest[] = "SHA256";
    const OSSL_PARAM with[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key.mac.data(), key.mac.size()),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end()};
    return EVP_MAC_CTX_set_params(mac, with) == 1;
}

/// OpenSSL's SSL_CTX_set_tlsext_ticket_key_evp_cb(3): 1 goes on, 2 wants a new ticket besides, 0
/// does without a ticket.
int seal_or_open(
    SSL* connection,
    unsigned char* name,
    unsigned char* iv,
    EVP_CIPHER_CTX* cipher,
    EVP_MAC_CTX* mac,
    int seals
) {
    auto& keys =
        *static_cast<ticket_keys*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(connection), slot()));
    const auto now = ticket_keys::clock::now();
    if (seals == 1) {
        auto key = keys.current(now);
        if (!key || RAND_bytes(iv, EVP_CIPHER_iv_length(EVP_aes_256_cbc())) != 1) {
            return 0;
        }
        std::memcpy(name, key->name.data(), key->name.size());
        const bool is_set =
            EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), nullptr, key->cipher.data(), iv) == 1 &&
            set_mac_key(mac, *key);
        OPENSSL_cleanse(&*key, sizeof *key);
        return is_set ? 1 : -1;
    }
    auto found = keys.find(name, now);
    if (!found) {
        return 0;
    }
    ticket_keys::key& key = found->value;
    const bool is_set =
        EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), nullptr, key.cipher.data(), iv) == 1 &&
        set_mac_key(mac, key);
    OPENSSL_cleanse(&key, sizeof key);
    if (!is_set) {
        return -1;
    }
    // A client of TLS 1.3 shows each ticket once (RFC 8446, appendix C.4).
    return found->is_current && SSL_version(connection) != TLS1_3_VERSION ? 1 : 2;
}

}  // namespace

ticket_keys::~ticket_keys() {
    for (auto* each : {&now_, &before_}) {
        if (each->has_value()) {
            OPENSSL_cleanse(&**each, sizeof **each);
        }
    }
}

std::optional<ticket_keys::key> ticket_keys::current(clock::time_point now) {
    const std::lock_guard lock(mutex_);
    if (!now_ || now - now_->born >= lifetime_) {
        dated made{{}, now};
        key& fresh = made.value;
        if (RAND_bytes(fresh.name.data(), static_cast<int>(fresh.name.size())) != 1 ||
            RAND_priv_bytes(fresh.cipher.data(), static_cast<int>(fresh.cipher.size())) != 1 ||
            RAND_priv_bytes(fresh.mac.data(), static_cast<int>(fresh.mac.size())) != 1) {
            return std::nullopt;
        }
        before_ = now_;
        now_ = made;
        OPENSSL_cleanse(&made, sizeof made);
    }
    return now_->value;
}

std::optional<ticket_keys::found>
ticket_keys::find(const unsigned char* name, clock::time_point now) {
    const std::lock_guard lock(mutex_);
    for (const auto* each : {&now_, &before_}) {
        // It seals for one lifetime, so that what it has sealed is over after two.
        if (each->has_value() && now - (*each)->born < 2 * lifetime_ &&
            std::memcmp(name, (*each)->value.name.data(), (*each)->value.name.size()) == 0) {
            return found{(*each)->value, each == &now_ && now - (*each)->born < lifetime_};
        }
    }
    return std::nullopt;
}

void give_tickets(SSL_CTX* context, std::chrono::seconds lifetime) {
    static constexpr unsigned char us[] = "pgsluice";
    PGSLUICE_ASSERT((SSL_CTX_get_verify_mode(context) & SSL_VERIFY_PEER) == 0);
    auto* const keys = new ticket_keys(lifetime);
    PGSLUICE_ASSERT(SSL_CTX_set_ex_data(context, slot(), keys) == 1);
    SSL_CTX_set_timeout(context, static_cast<long>(lifetime.count()));
    SSL_CTX_set_session_id_context(context, us, sizeof us - 1);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(context, seal_or_open);
    SSL_CTX_clear_options(context, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(context, 1);
}

}  // namespace pgsluice::proxy
