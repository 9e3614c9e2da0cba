#pragma once

#include "protocol/errors.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

struct ssl_ctx_st;

namespace pgsluice::proxy {

/// Whether clients connect by TLS; libpq's words. Where it is the client's choice, `allow` and
/// `prefer` are the same.
enum class client_tls : std::uint8_t { disable, allow, prefer, require };

/// Whether a backend is reached by TLS, and what its certificate has to show: libpq's sslmode
/// ("SSL Mode Descriptions" in the manual's chapter on libpq).
enum class backend_tls : std::uint8_t { disable, prefer, require, verify_ca, verify_full };
/// As libpq writes it.
std::string_view to_string(backend_tls mode) noexcept;

/// What all TLS connections of one kind share: the certificate shown to clients, or what a
/// backend's certificate has to be. TLS 1.2 and up, no renegotiation, no tickets. Immutable; any
/// thread. A reload makes another one: connections keep theirs.
class tls_context {
public:
    using pointer = std::shared_ptr<const tls_context>;

    /// PEM files: the certificate with its chain, and the key, which may be the same file and must
    /// not have a passphrase. `ca`, where it is not empty, has what signs the certificates of
    /// clients: they are asked for one and need not have any. A failure begins with the name of the
    /// file that is wrong.
    static result<pointer>
    for_clients(const std::string& cert, const std::string& key, const std::string& ca = {});

    struct backend_rules {
        backend_tls mode = backend_tls::require;
        std::string ca;      ///< PEM file of trusted certificates; empty: the chain is not checked
        std::string host;    ///< as configured: for `verify-full`, and told to the server (SNI)
        std::string cert{};  ///< PEM file of our own certificate and its chain; empty: none
        std::string key{};   ///< PEM file of its key, without a passphrase
    };
    /// As for_clients(). `mode` is not `disable`.
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

    ssl_ctx_st* native_;
    bool is_for_clients_;
    bool is_optional_ = false;
    std::string server_name_;
};

}  // namespace pgsluice::proxy
