// Clients that are let in by another name than their password's: the one in their certificate, or
// the one that the operating system has for them.

#include "proxy/peer.hpp"
#include "proxy/refusal.hpp"
#include "proxy/session.hpp"
#include "proxy/shard.hpp"
#include "proxy/tls_channel.hpp"
#include "proxy/user_maps.hpp"

namespace pgsluice::proxy {

/// Why a client is not even asked, if it is not.
std::optional<failure> session::refuse_login(const login_rules::verdict& how) const {
    if (how.method == login_method::reject) {
        return refusal::no_login_rule(shard_.settings(), *startup_, address_, client_.is_secure());
    }
    if (how.method == login_method::cert || how.method == login_method::peer) {
        return refuse_by_name(how);
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
    failure no{std::string(sqlstate::invalid_authorization), {}, {}, {}};
    if (!name) {
        no.message = is_cert ? "connection requires a valid client certificate"
                             : "peer authentication needs a connection to a unix socket";
        return no;
    }
    const auto& maps = shard_.settings().maps;
    const std::string user(startup_->user());
    const bool is_let_in =
        how.map.empty() ? *name == user : maps && maps->lets_in(how.map, *name, user);
    if (is_let_in) {
        return std::nullopt;
    }
    no.message = (is_cert ? "certificate" : "peer");
    no.message += " authentication failed for user \"" + user + "\"";
    no.detail = is_cert ? "The certificate is for another name."
                        : "The operating system has another name for this client.";
    return no;
}

}  // namespace pgsluice::proxy
