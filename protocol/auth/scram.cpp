// Keys and verifiers (RFC 5802 section 3): HMAC and PBKDF2 by OpenSSL, and the text form that
// pg_authid holds.

#include "protocol/auth/scram.hpp"

#include "protocol/auth/base64.hpp"
#include "protocol/auth/saslprep.hpp"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <charconv>
#include <limits>
#include <memory>

// Keys and verifiers; the exchanges are in scram_exchange.cpp.

namespace pgsluice::protocol {

namespace {

constexpr std::size_t salt_bytes_max = 512;

std::optional<secret_key> decode_key(std::string_view text) {
    auto bytes = decode_base64(text);
    if (!bytes || bytes->size() != secret_key::size)
        return std::nullopt;
    secret_key key;
    std::copy(bytes->begin(), bytes->end(), key.bytes.begin());
    wipe(bytes->data(), bytes->size());
    return key;
}

/// Cuts off the text up to `end`, which must be there.
std::optional<std::string_view> cut(std::string_view& text, char end) {
    const auto at = text.find(end);
    if (at == std::string_view::npos)
        return std::nullopt;
    const auto field = text.substr(0, at);
    text.remove_prefix(at + 1);
    return field;
}

std::optional<std::uint32_t> positive_number(std::string_view text) {
    std::uint32_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const bool is_whole = error == std::errc{} && end == text.data() + text.size();
    if (!is_whole || number == 0 || number > std::numeric_limits<std::int32_t>::max())
        return std::nullopt;
    return number;
}

/// HMAC() and SHA256() of OpenSSL 3 look their algorithm up by name in every call.
const EVP_MD* sha256_algorithm() {
    static const EVP_MD* const found = EVP_MD_fetch(nullptr, "SHA256", nullptr);
    PGSLUICE_ASSERT(found != nullptr);
    return found;
}

using mac_pointer = std::unique_ptr<EVP_MAC_CTX, decltype(&EVP_MAC_CTX_free)>;

/// What every HMAC begins as: it has a hash, and no key yet.
mac_pointer unkeyed_hmac() {
    EVP_MAC* const algorithm = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
    mac_pointer made(EVP_MAC_CTX_new(algorithm), &EVP_MAC_CTX_free);
    EVP_MAC_free(algorithm);
    char hash[] = "SHA256";
    const OSSL_PARAM with[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, hash, 0),
        OSSL_PARAM_construct_end()};
    PGSLUICE_ASSERT(made && EVP_MAC_CTX_set_params(made.get(), with) == 1);
    return made;
}

}  // namespace

secret_key sha256(byte_view bytes) {
    secret_key hash;
    const int done = EVP_Digest(
        bytes.data(), bytes.size(), hash.bytes.data(), nullptr, sha256_algorithm(), nullptr
    );
    PGSLUICE_ASSERT(done == 1);
    return hash;
}

secret_key hmac_sha256(byte_view key, std::string_view message) {
    // A copy for each use, so that what the key has left behind is wiped with it.
    static const mac_pointer unkeyed = unkeyed_hmac();
    const mac_pointer mac(EVP_MAC_CTX_dup(unkeyed.get()), &EVP_MAC_CTX_free);
    secret_key code;
    std::size_t bytes = 0;
    const auto view = as_bytes(message);
    const bool done = mac && EVP_MAC_init(mac.get(), key.data(), key.size(), nullptr) == 1 &&
                      EVP_MAC_update(mac.get(), view.data(), view.size()) == 1 &&
                      EVP_MAC_final(mac.get(), code.bytes.data(), &bytes, code.bytes.size()) == 1;
    PGSLUICE_ASSERT(done && bytes == code.bytes.size());
    return code;
}

std::optional<scram_keys> derive_scram_keys(std::string_view password, scram_salt salt) {
    if (salt.iterations == 0 || salt.iterations > scram_iterations_max)
        return std::nullopt;
    const secret prepared = saslprep(password);
    secret_key salted;
    const int done = PKCS5_PBKDF2_HMAC(
        prepared.view().data(),
        static_cast<int>(prepared.view().size()),
        salt.bytes.data(),
        static_cast<int>(salt.bytes.size()),
        static_cast<int>(salt.iterations),
        sha256_algorithm(),
        static_cast<int>(salted.bytes.size()),
        salted.bytes.data()
    );
    PGSLUICE_ASSERT(done == 1);
    return scram_keys{
        hmac_sha256(salted.view(), "Client Key"),
        hmac_sha256(salted.view(), "Server Key"),
        std::move(salt)};
}

scram_verifier verifier_of(const scram_keys& keys) {
    return {keys.salt, sha256(keys.client_key.view()), keys.server_key};
}

std::optional<scram_verifier> parse_scram_verifier(std::string_view text) {
    const auto mechanism = cut(text, '$');
    const auto iterations = cut(text, ':');
    const auto salt = cut(text, '$');
    const auto stored_key = cut(text, ':');
    if (!mechanism || *mechanism != scram_mechanism || !iterations || !salt || !stored_key)
        return std::nullopt;
    const auto number = positive_number(*iterations);
    auto salt_bytes = decode_base64(*salt);
    auto stored = decode_key(*stored_key);
    auto server = decode_key(text);
    if (!number || !salt_bytes || salt_bytes->empty() || salt_bytes->size() > salt_bytes_max ||
        !stored || !server)
        return std::nullopt;
    return scram_verifier{{std::move(*salt_bytes), *number}, *stored, *server};
}

std::string to_text(const scram_verifier& verifier) {
    return std::string(scram_mechanism) + "$" + std::to_string(verifier.salt.iterations) + ":" +
           encode_base64(verifier.salt.bytes) + "$" + encode_base64(verifier.stored_key.view()) +
           ":" + encode_base64(verifier.server_key.view());
}

std::optional<secret_key>
recover_client_key(const secret_key& stored_key, std::string_view auth_message, byte_view proof) {
    if (proof.size() != secret_key::size)
        return std::nullopt;
    secret_key key = hmac_sha256(stored_key.view(), auth_message);
    for (std::size_t i = 0; i < proof.size(); ++i)
        key.bytes[i] = static_cast<std::uint8_t>(key.bytes[i] ^ proof[i]);
    if (!(sha256(key.view()) == stored_key))
        return std::nullopt;
    return key;
}

}  // namespace pgsluice::protocol
