// Clients that are let in by another name than their password's: the one in their certificate, or
// the one that the operating system has for them.

#include "proxy/access/user_maps.hpp"
#include "proxy/net/peer_credentials.hpp"
#include "proxy/net/tls_channel.hpp"
#include "proxy/session/host.hpp"
#include "proxy/session/refusal.hpp"
#include "proxy/session/session.hpp"

#include <algorithm>

namespace pgsluice::proxy {

namespace {

constexpr std::string_view no_certificate = "connection requires a valid client certificate";

failure of_another_name(bool is_certificate, std::string_view user) {
    return {
        std::string(sqlstate::invalid_authorization),
        std::string(is_certificate ? "certificate" : "peer") +
            " authentication failed for user \"" + std::string(user) + "\"",
        is_certificate ? "The certificate is for another name."
                       : "The operating system has another name for this client.",
        {}};
}

}  // namespace

/// Why a client is not even asked, if it is not.
std::optional<failure> session::refuse_login(const login_rules::verdict& how) const {
    if (how.method == login_method::reject) {
        return refusal::no_login_rule(host_.settings(), *startup_, address_, client_.is_secure());
    }
    if (how.method == login_method::cert || how.method == login_method::peer) {
        return refuse_by_name(how);
    }
    return refuse_by_certificate(how.certificate);
}

/// Whoever logs in by its password as well. Unix sockets are as good as a certificate to the
/// service's `tls.mode`.
std::optional<failure> session::refuse_by_certificate(client_certificate needed) const {
    const client_tls mode = source_.is_local ? client_tls::prefer : host_.settings().tls;
    if (mode == client_tls::verify_full) {
        needed = client_certificate::of_user;
    } else if (mode == client_tls::verify_ca) {
        needed = std::max(needed, client_certificate::valid);
    }
    if (needed == client_certificate::optional) {
        return std::nullopt;
    }
    if (!client_.is_secure() || !client_.tls()->has_peer_certificate()) {
        return failure{
            std::string(sqlstate::invalid_authorization), std::string(no_certificate), {}, {}};
    }
    if (needed == client_certificate::of_user && client_.tls()->peer_name() != startup_->user()) {
        return of_another_name(true, startup_->user());
    }
    return std::nullopt;
}

std::optional<failure> session::refuse_by_name(const login_rules::verdict& how) const {
    const bool is_cert = how.method == login_method::cert;
    std::optional<std::string> name;
    if (is_cert && client_.is_secure()) {
        name = client_.tls()->peer_name();
    } else if (!is_cert && source_.is_local && !entrance_->balancers) {  // theirs is the balancer's
        name = peer_user(client_.fd());
    }
    if (!name) {
        return failure{
            std::string(sqlstate::invalid_authorization),
            is_cert ? std::string(no_certificate)
                    : "peer authentication needs a connection to a unix socket",
            {},
            {}};
    }
    const auto& maps = host_.settings().maps;
    const std::string user(startup_->user());
    const bool is_let_in =
        how.map.empty() ? *name == user : maps && maps->lets_in(how.map, *name, user);
    return is_let_in ? std::nullopt : std::optional(of_another_name(is_cert, user));
}

}  // namespace pgsluice::proxy
