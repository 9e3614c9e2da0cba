// Certificates and rules, read from files into OpenSSL's contexts.

#include "proxy/net/tls_context.hpp"

#include "proxy/net/tls_channel.hpp"
#include "proxy/net/tls_revocation.hpp"
#include "proxy/net/tls_tickets.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <cerrno>
#include <cstring>
#include <unistd.h>

namespace pgsluice::proxy {

namespace {

failure about_file(const std::string& path, const std::string& why) {
    return {"F0000", path + ": " + why, {}, {}};  // config_file_error
}

failure unusable(const std::string& path) {
    return about_file(path, tls_reason());
}

result<void> can_read(const std::string& path) {
    if (::access(path.c_str(), R_OK) != 0) {
        return about_file(path, std::strerror(errno));
    }
    return {};
}

/// Without it OpenSSL would ask on the terminal.
int no_passphrase(char*, int, int, void*) {
    return 0;
}

int choose_protocol(
    [[maybe_unused]] SSL* connection,
    const unsigned char** chosen,
    unsigned char* length,
    const unsigned char* offered,
    unsigned int bytes,
    [[maybe_unused]] void* data
) {
    unsigned char* found = nullptr;
    const int outcome = SSL_select_next_proto(
        &found,
        length,
        alpn_postgresql.data(),
        static_cast<unsigned int>(alpn_postgresql.size()),
        offered,
        bytes
    );
    *chosen = found;
    return outcome == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

}  // namespace

std::string_view to_string(client_tls mode) noexcept {
    switch (mode) {
    case client_tls::disable:
        break;
    case client_tls::allow:
        return "allow";
    case client_tls::prefer:
        return "prefer";
    case client_tls::require:
        return "require";
    case client_tls::verify_ca:
        return "verify-ca";
    case client_tls::verify_full:
        return "verify-full";
    }
    return "disable";
}

std::string_view to_string(backend_tls mode) noexcept {
    switch (mode) {
    case backend_tls::disable:
        break;
    case backend_tls::prefer:
        return "prefer";
    case backend_tls::require:
        return "require";
    case backend_tls::verify_ca:
        return "verify-ca";
    case backend_tls::verify_full:
        return "verify-full";
    }
    return "disable";
}

tls_context::tls_context(bool is_for_clients)
    : native_(SSL_CTX_new(is_for_clients ? TLS_server_method() : TLS_client_method())),
      is_for_clients_(is_for_clients) {
    PGSLUICE_ASSERT(native_ != nullptr);
    SSL_CTX_set_min_proto_version(native_, TLS1_2_VERSION);
    // A connection that ends without close_notify is an end like any other: the protocol above says
    // where its messages end.
    SSL_CTX_set_options(
        native_,
        SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
            SSL_OP_IGNORE_UNEXPECTED_EOF
    );
    SSL_CTX_set_num_tickets(native_, 0);
    SSL_CTX_set_session_cache_mode(native_, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(
        native_,
        SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
            SSL_MODE_RELEASE_BUFFERS
    );
    SSL_CTX_set_read_ahead(native_, 1);  // one recv for several records; see tls_channel::recv()
    SSL_CTX_set_default_passwd_cb(native_, no_passphrase);
}

tls_context::~tls_context() {
    SSL_CTX_free(native_);
}

result<void> tls_context::show(const std::string& cert, const std::string& key) {
    for (const std::string& path : {cert, key}) {
        if (auto readable = can_read(path); !readable) {
            return readable.error();
        }
    }
    if (SSL_CTX_use_certificate_chain_file(native_, cert.c_str()) != 1) {
        return unusable(cert);
    }
    if (SSL_CTX_use_PrivateKey_file(native_, key.c_str(), SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(native_) != 1) {
        return unusable(key);
    }
    return {};
}

result<void> tls_context::trust_signers(const std::string& ca, const std::string& crl) {
    if (auto readable = can_read(ca); !readable) {
        return readable.error();
    }
    if (SSL_CTX_load_verify_locations(native_, ca.c_str(), nullptr) != 1) {
        return unusable(ca);
    }
    SSL_CTX_set_verify(native_, SSL_VERIFY_PEER, nullptr);
    return crl.empty() ? result<void>{} : refuse_revoked(SSL_CTX_get_cert_store(native_), crl);
}

result<tls_context::pointer> tls_context::for_clients(const client_rules& rules) {
    std::shared_ptr<tls_context> made(new tls_context(true));
    if (auto shown = made->show(rules.cert, rules.key); !shown) {
        return shown.error();
    }
    if (!rules.ca.empty()) {
        if (auto trusted = made->trust_signers(rules.ca, rules.crl); !trusted) {
            return trusted.error();
        }
        SSL_CTX_set_client_CA_list(made->native_, SSL_load_client_CA_file(rules.ca.c_str()));
    } else if (rules.tickets.count() > 0) {
        give_tickets(made->native_, rules.tickets);
    }
    SSL_CTX_set_options(made->native_, SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_alpn_select_cb(made->native_, choose_protocol, nullptr);
    return pointer(std::move(made));
}

result<tls_context::pointer> tls_context::for_backend(const backend_rules& rules) {
    PGSLUICE_ASSERT(rules.mode != backend_tls::disable);
    std::shared_ptr<tls_context> made(new tls_context(false));
    made->is_optional_ = rules.mode == backend_tls::prefer;
    SSL_CTX_set_alpn_protos(made->native_, alpn_postgresql.data(), alpn_postgresql.size());
    if (auto trusted = made->trust(rules); !trusted) {
        return trusted.error();
    }
    if (!rules.cert.empty()) {
        if (auto shown = made->show(rules.cert, rules.key); !shown) {
            return shown.error();
        }
    }
    return pointer(std::move(made));
}

result<void> tls_context::trust(const backend_rules& rules) {
    X509_VERIFY_PARAM* const checks = SSL_CTX_get0_param(native_);
    const std::unique_ptr<ASN1_OCTET_STRING, decltype(&ASN1_OCTET_STRING_free)> address(
        a2i_IPADDRESS(rules.host.c_str()), &ASN1_OCTET_STRING_free
    );
    if (!address) {
        server_name_ = rules.host;
    }
    ERR_clear_error();  // a name is no address, which is no error
    if (rules.ca.empty()) {
        return {};
    }
    if (auto trusted = trust_signers(rules.ca, rules.crl); !trusted) {
        return trusted.error();
    }
    if (rules.mode == backend_tls::verify_full) {
        X509_VERIFY_PARAM_set_hostflags(checks, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        const int is_set = address ? X509_VERIFY_PARAM_set1_ip_asc(checks, rules.host.c_str())
                                   : X509_VERIFY_PARAM_set1_host(checks, rules.host.c_str(), 0);
        PGSLUICE_ASSERT(is_set == 1);
    }
    return {};
}

}  // namespace pgsluice::proxy
