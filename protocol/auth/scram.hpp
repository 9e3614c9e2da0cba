#pragma once

#include "protocol/auth/secret.hpp"
#include "protocol/errors.hpp"
#include "protocol/wire/wire.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// SCRAM-SHA-256: RFC 5802, RFC 7677, section "SASL Authentication" of the PostgreSQL manual.
//
//   SaltedPassword = PBKDF2(password, salt, iterations)
//   ClientKey      = HMAC(SaltedPassword, "Client Key")      StoredKey = SHA256(ClientKey)
//   ServerKey      = HMAC(SaltedPassword, "Server Key")
//   proof          = ClientKey XOR HMAC(StoredKey, auth message)
//
// A server has the verifier (StoredKey and ServerKey). Whoever has it and sees a right proof knows
// the ClientKey from then on, and with it can log in wherever the role has the same verifier.
//
// Randomness comes in as arguments. Channel binding is tls-server-end-point (RFC 5929, section 4):
// both sides put the hash of the server's certificate into what the proof is about, so that nobody
// can stand between them with a certificate of its own.

namespace pgsluice::protocol {

inline constexpr std::string_view scram_mechanism = "SCRAM-SHA-256";
/// The same with channel binding, offered over TLS.
inline constexpr std::string_view scram_plus_mechanism = "SCRAM-SHA-256-PLUS";
inline constexpr std::uint32_t scram_iterations_default = 4096;
/// The most that is computed here: about 0.1 s, during which a worker serves nobody else.
inline constexpr std::uint32_t scram_iterations_max = 200'000;
/// As the server's PG_MAX_SASL_MESSAGE_LENGTH: longer messages are refused unread.
inline constexpr std::size_t scram_message_bytes_max = 1024;

/// What a verifier was made with. Two verifiers of one password agree in keys only if they agree in
/// this.
struct scram_salt {
    std::vector<std::uint8_t> bytes;
    std::uint32_t iterations = 0;
    bool operator==(const scram_salt&) const = default;
};

/// What a client needs to log in: derived from the password, or learned.
struct scram_keys {
    secret_key client_key;
    secret_key server_key;  ///< to check that the server knows the verifier
    scram_salt salt;        ///< what both belong to
};

/// What a server has instead of a password (`rolpassword` of pg_authid).
struct scram_verifier {
    scram_salt salt;
    secret_key stored_key;
    secret_key server_key;
};

/// PBKDF2, so it takes milliseconds. The password goes through saslprep(). nullopt when the
/// iterations are more than scram_iterations_max or none.
std::optional<scram_keys> derive_scram_keys(std::string_view password, scram_salt salt);

/// The verifier that belongs to the keys.
scram_verifier verifier_of(const scram_keys& keys);

/// Parses `SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY`; nullopt when it is not one.
std::optional<scram_verifier> parse_scram_verifier(std::string_view text);
std::string to_text(const scram_verifier& verifier);

/// SHA-256 and HMAC-SHA-256.
secret_key sha256(byte_view bytes);
secret_key hmac_sha256(byte_view key, std::string_view message);

/// The ClientKey if `proof` (32 bytes) is right for the exchange, else nullopt; constant time.
std::optional<secret_key>
recover_client_key(const secret_key& stored_key, std::string_view auth_message, byte_view proof);

/// The server's side of one exchange: first() with client-first-message, then final() with
/// client-final-message; out of order is a broken invariant. What they refuse, they refuse with the
/// server's own words (08P01, 0A000).
class scram_server {
public:
    struct success {
        std::string server_final;
        scram_keys keys;  ///< the client's, learned from its proof
    };

    /// `nonce`: printable, without comma, not to be used twice. `end_point`: the hash of the
    /// certificate that was shown to the client; empty: channel binding was not offered.
    scram_server(scram_verifier verifier, std::string nonce, std::string end_point = {});

    /// server-first-message. `is_plus`: the client has chosen the mechanism with channel binding.
    result<std::string> first(std::string_view client_first, bool is_plus = false);
    /// nullopt: the proof is wrong.
    result<std::optional<success>> final(std::string_view client_final);

private:
    scram_verifier verifier_;
    std::string nonce_;  ///< from first() on the client's and ours
    std::string end_point_;
    std::string cbind_;  ///< what the client has to repeat in its final message
    bool is_plus_ = false;
    std::string auth_message_;
};

/// The client's side: first(), final() with server-first-message, then verify() with
/// server-final-message. Failures say what the server did wrong (08P01).
class scram_client {
public:
    /// `nonce` as for scram_server. `end_point`: the hash of the server's certificate; empty: no
    /// TLS, or a certificate without such a hash.
    explicit scram_client(std::string nonce, std::string end_point = {})
        : nonce_(std::move(nonce)), end_point_(std::move(end_point)) {}

    bool can_bind() const noexcept { return !end_point_.empty(); }
    /// client-first-message, with the empty user name that PostgreSQL's clients send. `is_plus`:
    /// for the mechanism with channel binding, which the server has offered; requires can_bind().
    /// Without it a client that can bind says so, and a server that has offered it refuses.
    std::string first(bool is_plus = false);
    /// Parses server-first-message: what the keys have to belong to. Valid until final().
    result<scram_salt> challenge(std::string_view server_first);
    /// client-final-message.
    std::string final(const scram_keys& keys);
    /// Fails unless the server has proved that it knows the verifier.
    result<void> verify(std::string_view server_final) const;

private:
    std::string nonce_;
    std::string end_point_;
    std::string cbind_;  ///< base64, as in the final message
    std::string auth_message_;
    secret_key server_key_;
};

/// Watches an exchange that others have, from both sides' messages; knows the verifier.
class scram_observer {
public:
    explicit scram_observer(scram_verifier verifier) : verifier_(std::move(verifier)) {}

    void client_first(std::string_view message);
    void server_first(std::string_view message);
    void client_final(std::string_view message);

    /// The keys, if the exchange was for this verifier and the proof right.
    std::optional<scram_keys> learned() const;

private:
    scram_verifier verifier_;
    std::string client_first_bare_;
    std::string server_first_;
    std::string client_final_;
};

}  // namespace pgsluice::protocol
