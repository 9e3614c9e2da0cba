#include "protocol/scram.hpp"

#include "protocol/base64.hpp"
#include "protocol/saslprep.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include <charconv>
#include <limits>

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

}  // namespace

secret_key sha256(byte_view bytes) {
    secret_key hash;
    SHA256(bytes.data(), bytes.size(), hash.bytes.data());
    return hash;
}

secret_key hmac_sha256(byte_view key, std::string_view message) {
    secret_key code;
    unsigned bytes = 0;
    const auto view = as_bytes(message);
    const auto* done = HMAC(
        EVP_sha256(),
        key.data(),
        static_cast<int>(key.size()),
        view.data(),
        view.size(),
        code.bytes.data(),
        &bytes
    );
    PGSLUICE_ASSERT(done != nullptr && bytes == code.bytes.size());
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
        EVP_sha256(),
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
