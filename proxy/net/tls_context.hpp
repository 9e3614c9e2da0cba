#pragma once

#include "protocol/errors.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

struct ssl_ctx_st;

namespace pgsluice::proxy {

/// Whether clients connect by TLS, and what their certificates have to show; libpq's words, each
/// more than the one before. Where it is the client's choice, `allow` and `prefer` are the same.
enum class client_tls : std::uint8_t { disable, allow, prefer, require, verify_ca, verify_full };
/// As libpq writes it.
std::string_view to_string(client_tls mode) noexcept;

/// Whether a backend is reached by TLS, and what its certificate has to show: libpq's sslmode
/// ("SSL Mode Descriptions" in the manual's chapter on libpq).
enum class backend_tls : std::uint8_t { disable, prefer, require, verify_ca, verify_full };
/// As libpq writes it.
std::string_view to_string(backend_tls mode) noexcept;

/// What all TLS connections of one kind share: the certificate shown to clients, or what a
/// backend's certificate has to be. TLS 1.2 and up, no renegotiation. Immutable; any thread. A
/// reload makes another one: connections keep theirs.
class tls_context {
public:
    using pointer = std::shared_ptr<const tls_context>;

    /// Files are PEM.
    struct client_rules {
        std::string cert;   ///< the certificate shown, with its chain
        std::string key;    ///< its key, without a passphrase; may be the same file
        std::string ca{};   ///< what signs the certificates of clients, who are then asked for one
                            ///< and need not have any; empty: they are not asked
        std::string crl{};  ///< file or directory of revocation lists; empty: none are looked at
        std::chrono::seconds tickets{0};  ///< how long a session can be resumed; 0: not at all
    };
    /// A failure begins with the name of the file that is wrong. Clients that may show certificates
    /// get no tickets: one would let them in without it, and past the lists of revoked ones.
    static result<pointer> for_clients(const client_rules& rules);

    struct backend_rules {
        backend_tls mode = backend_tls::require;
        std::string ca;      ///< PEM file of trusted certificates; empty: the chain is not checked
        std::string host;    ///< as configured: for `verify-full`, and told to the server (SNI)
        std::string cert{};  ///< PEM file of our own certificate and its chain; empty: none
        std::string key{};   ///< PEM file of its key, without a passphrase
        std::string crl{};   ///< as in client_rules
    };
    /// As for_clients(). `mode` is not `disable`. Sessions are never resumed: each handshake looks
    /// at the server's certificate.
    static result<pointer> for_backend(const backend_rules& rules);

    ~tls_context();
    tls_context(const tls_context&) = delete;
    tls_context& operator=(const tls_context&) = delete;

    ssl_ctx_st* native() const noexcept { return native_; }
    bool is_for_clients() const noexcept { return is_for_clients_; }
    /// A backend that has no TLS is taken without.
    bool is_optional() const noexcept { return is_optional_; }
    /// The name to tell a backend; empty for an address.
    const std::string& server_name() const noexcept { return server_name_; }

private:
    explicit tls_context(bool is_for_clients);
    result<void> trust(const backend_rules& rules);
    result<void> show(const std::string& cert, const std::string& key);
    result<void> trust_signers(const std::string& ca, const std::string& crl);

    ssl_ctx_st* native_;
    bool is_for_clients_;
    bool is_optional_ = false;
    std::string server_name_;
};

}  // namespace pgsluice::proxy
