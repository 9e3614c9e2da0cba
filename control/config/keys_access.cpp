// Keys about who gets in where: another backend by address, limits of what clients get wrong, and
// how pgsluice itself gets in at a backend.
#include "control/base/words.hpp"
#include "control/config/rows.hpp"
#include "control/config/values.hpp"
#include "proxy/access/address_set.hpp"
#include "proxy/access/admission.hpp"

namespace pgsluice::control {

namespace {

using service = service_config;

problem set_canary_cidr(service& target, std::string_view text) {
    const auto set = proxy::address_set::parse(words(text));
    if (!set) {
        return set.error().message;
    }
    if (text == "none") {
        return not_a(text, "valid", "ranges, local or all");
    }
    return set_text<service, &service::canary, &canary_config::cidr>(target, text);
}

const config_key<service> canary_rows[] = {
    {.name = "canary.cidr",
     .type = "ranges of addresses",
     .doc = "Whose clients go to `canary.backend` instead of the route, at the first start, as "
            "`sluicectl canary` takes them: `10.1.0.0/16=5% 10.2.0.0/16`; afterwards the journal "
            "knows. See docs/canary.md.",
     .set = set_canary_cidr,
     .show = show_text<service, &service::canary, &canary_config::cidr>},
    text_key<service, &service::canary, &canary_config::backend>(
        {.name = "canary.backend", .doc = "The backend that they get."}
    ),
    choice_key<service, canary_access, &service::canary, &canary_config::access>(
        {.name = "canary.access",
         .type = "read-only | read-write",
         .initial = "read-only",
         .doc = "Whether they may write there."}
    ),
};

const config_key<service> limit_rows[] = {
    choice_key<service, proxy::address_shown, &service::client_address>(
        {.name = "client_address",
         .type = "off | application_name | setting",
         .initial = "off",
         .is_reloadable = reloadable,
         .doc = "Where servers see a client's address: behind the application_name that it gives "
                "at login, or in the setting `pgsluice.client_address`. See docs/admission.md."}
    ),
    number_key<service, 0, 1'000'000'000, &service::limits, &limits_config::failed_logins>(
        {.name = "limits.failed_logins",
         .unit = "logins a minute",
         .initial = "0",
         .is_reloadable = reloadable,
         .doc = "As many may fail from one address (or /64 of IPv6); then its clients are refused "
                "with 28000 until the minute is over. 0 is off: behind a load balancer without "
                "PROXY protocol, or with a pool that has an old password, one address is many."}
    ),
    number_key<service, 0, 1'000'000'000, &service::limits, &limits_config::unknown_cancels>(
        {.name = "limits.unknown_cancels",
         .unit = "requests a minute",
         .initial = "1000",
         .is_reloadable = reloadable,
         .doc = "As many CancelRequests with keys of no session may come from one address; then "
                "all of its are ignored until the minute is over. 0 is off."}
    ),
    number_key<service, 0, 1'000'000'000, &service::limits, &limits_config::unauthenticated>(
        {.name = "limits.unauthenticated",
         .unit = "connections",
         .initial = "0",
         .is_reloadable = reloadable,
         .doc = "As many connections from one address (or /64 of IPv6) may be there that have not "
                "logged in; further ones are refused with 53300. Clients that wait at a closed "
                "gate do not count. 0 is off: behind a load balancer without PROXY protocol one "
                "address is many. All addresses together have `max_connections` + 1000."}
    ),
};

using backend = backend_config;

const config_key<backend> login_rows[] = {
    {.name = "tls.crl",
     .type = "path",
     .doc = "Revocation lists, PEM: a file, or a directory of them as `openssl rehash` leaves it; "
            "also for the control plane's own connections. Each reload reads it again.",
     .set = set_text<backend, &backend::tls, &backend_tls_config::crl>,
     .show = show_text<backend, &backend::tls, &backend_tls_config::crl>},
    {.name = "tls.cert",
     .type = "path",
     .doc =
         "The certificate that pgsluice shows to the backend, and its chain, in PEM format; also "
         "on the control plane's own connections. Each reload reads it again.",
     .set = set_text<backend, &backend::tls, &backend_tls_config::cert>,
     .show = show_text<backend, &backend::tls, &backend_tls_config::cert>},
    {.name = "tls.key",
     .type = "path",
     .doc = "Its private key, without a passphrase, mode 0600; by default in the file of the "
            "certificate.",
     .set = set_text<backend, &backend::tls, &backend_tls_config::key>,
     .show = show_text<backend, &backend::tls, &backend_tls_config::key>},
    choice_key<backend, protocol::channel_binding, &backend::binding>(
        {.name = "channel_binding",
         .type = "prefer | require | disable",
         .initial = "prefer",
         .doc = "Whether the logins of sessions are bound to the backend's TLS connection. With "
                "`require` no other login is made, so that relayed ones (`passthrough`) are "
                "refused. See docs/tls.md."}
    ),
    choice_key<backend, protocol::proxy_version, &backend::send_proxy>(
        {.name = "send_proxy",
         .type = "off | v1 | v2",
         .initial = "off",
         .doc = "The PROXY protocol header that each connection of a client begins with, for a "
                "backend that is a proxy and requires it. The control plane's own connections have "
                "none. See docs/admission.md."}
    ),
    text_key<backend, &backend::dbname>(
        {.name = "dbname",
         .doc = "The database that all sessions log in to at the backend, whatever name their "
                "clients asked for."}
    ),
    text_key<backend, &backend::login, &backend_login_config::user>(
        {.name = "user",
         .doc = "All sessions log in at the backend as this role, whoever their clients are. See "
                "docs/authentication.md."}
    ),
    text_key<backend, &backend::login, &backend_login_config::password_env>(
        {.name = "password_env",
         .doc = "The environment variable with its password, read at the start and at each reload."}
    ),
    {.name = "password_file",
     .type = "path",
     .doc = "The file with its password, in one line; each reload reads it again.",
     .set = set_text<backend, &backend::login, &backend_login_config::password_file>,
     .show = show_text<backend, &backend::login, &backend_login_config::password_file>},
    text_key<backend, &backend::read_only_login, &backend_login_config::user>(
        {.name = "read_only_user",
         .doc = "A role that may only read, as which all sessions log in at the backend while "
                "`readonly on --by user` stands. See docs/read-only.md."}
    ),
    text_key<backend, &backend::read_only_login, &backend_login_config::password_env>(
        {.name = "read_only_password_env",
         .doc = "The environment variable with its password, read at the start and at each reload."}
    ),
    {.name = "read_only_password_file",
     .type = "path",
     .doc = "The file with its password, in one line; each reload reads it again.",
     .set = set_text<backend, &backend::read_only_login, &backend_login_config::password_file>,
     .show = show_text<backend, &backend::read_only_login, &backend_login_config::password_file>},
};

}  // namespace

std::vector<config_key<backend_config>> login_keys() {
    return {std::begin(login_rows), std::end(login_rows)};
}

std::vector<config_key<service_config>> canary_keys() {
    return {std::begin(canary_rows), std::end(canary_rows)};
}

std::vector<config_key<service_config>> limit_keys() {
    return {std::begin(limit_rows), std::end(limit_rows)};
}

}  // namespace pgsluice::control
