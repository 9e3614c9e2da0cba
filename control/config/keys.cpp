// The key tables; those of `console`, `cutover` and `checks` have files of their own. A row that is
// added is parsed, validated, printed, compared at reload and documented; nothing else has to be
// touched (configs/reference.md is generated from it).
#include "control/config/keys.hpp"

#include "control/config/rows.hpp"
#include "control/config/values.hpp"

namespace pgsluice::control {
namespace {

using service = service_config;

const config_key<config> globals[] = {
    {.name = "control.socket",
     .type = "path",
     .initial = "/run/pgsluice/control.sock",
     .doc = "The unix socket sluicectl talks to; created with mode 0600, peers are checked.",
     .set = set_control_socket,
     .show = show_text<config, &config::control, &control_config::socket>},
    {.name = "control.state_dir",
     .type = "path",
     .initial = "/var/lib/pgsluice",
     .doc = "Directory of the journal. Two daemons cannot share one.",
     .set = set_state_dir,
     .show = show_text<config, &config::control, &control_config::state_dir>},
    {.name = "workers",
     .type = "auto | whole number",
     .unit = "threads",
     .initial = "auto",
     .doc = "Threads that relay; auto starts one per core.",
     .set = set_workers,
     .show = show_workers},
    {.name = "http",
     .type = "host:port",
     .doc = "Metrics and health checks. Accepted, but not served by this version.",
     .set = set_http,
     .show = show_http},
    duration_key<config, &config::dns, &dns_config::max_age>(
        {.name = "dns.max_age",
         .initial = "15s",
         .is_reloadable = reloadable,
         .doc = "Names of backends are looked up again when their addresses are older, and within "
                "a second after a connection has failed; 0s: only then. A name that cannot be "
                "resolved keeps the last good answer. Addresses do not change while a command such "
                "as cutover runs."}
    ),
    {.name = "stats.period",
     .type = "duration",
     .initial = "1m",
     .is_reloadable = reloadable,
     .doc = "What the averages in the console's SHOW STATS are taken of; 1s at least.",
     .set = set_stats_period,
     .show = show_duration<config, &config::stats, &stats_config::period>,
     .copy = copy_field<config, &config::stats, &stats_config::period>},
    choice_key<config, log_level, &config::log, &log_config::level>(
        {.name = "log.level",
         .type = "debug | info | warn | error",
         .initial = "info",
         .is_reloadable = reloadable,
         .doc = "The least severe events that are logged to stderr."}
    ),
    choice_key<config, log_format, &config::log, &log_config::format>(
        {.name = "log.format",
         .type = "text | json",
         .initial = "text",
         .is_reloadable = reloadable,
         .doc = "One event a line, either `event key=value ...` or a JSON object."}
    ),
    number_key<config, 0, 1'000'000'000, &config::testing, &testing_config::move_every>(
        {.name = "testing.move_every",
         .unit = "boundaries",
         .initial = "0",
         .is_reloadable = at_start,
         .doc = "For test suites: moves every session to a fresh connection of its own backend at "
                "every Nth boundary. 0 is off."}
    ),
};

const config_key<service> services[] = {
    {.name = "listen",
     .type = "list of addresses",
     .initial = "required",
     .is_list = true,
     .doc = "`host:port`, `[::]:port`, or a unix socket directory `/dir` (port 6432) or "
            "`/dir:port`, whose socket is named `.s.PGSQL.PORT`; or a mapping with the keys below.",
     .set = add_listen,
     .show = show_listen},
    text_key<service, &service::route>(
        {.name = "route",
         .initial = "the only backend",
         .doc =
             "The backend that the sessions belong on at the first start; afterwards the journal "
             "knows. Obligatory where there are several backends."}
    ),
    choice_key<service, first_access, &service::access>(
        {.name = "access",
         .type = "read-write | read-only",
         .initial = "read-write",
         .doc = "Whether clients may write at the first start; afterwards the journal knows. "
                "`read-only` is `readonly on --fence none` before the first client comes."}
    ),
    {.name = "auth.method",
     .type = "passthrough | trust | scram-sha-256 | md5 | peer",
     .initial = "passthrough",
     .is_reloadable = reloadable,
     .doc =
         "Who asks a client for its password: with `passthrough` the backend, whose questions "
         "are relayed; with `scram-sha-256` and `md5` the proxy; with `trust` the backend, and "
         "that only of users for whom nothing is known to answer; with `peer` the operating system "
         "says who is at the other end of a unix socket. See docs/authentication.md.",
     .set = set_auth,
     .show = show_choice<service, auth_method, &service::auth, &auth_config::method>,
     .copy = copy_field<service, &service::auth, &auth_config::method>},
    {.name = "auth.users_file",
     .type = "path",
     .is_reloadable = reloadable,
     .doc = "Users and their SCRAM verifiers, md5 hashes or passwords, in the format of "
            "PgBouncer's userlist.txt; each reload reads it again. Obligatory for "
            "`scram-sha-256` and `md5`.",
     .set = set_users_file,
     .show = show_text<service, &service::auth, &auth_config::users_file>,
     .copy = copy_field<service, &service::auth, &auth_config::users_file>},
    {.name = "auth.hba_file",
     .type = "path",
     .is_reloadable = reloadable,
     .doc = "Who is asked for what, by database, user and address, in the format of pg_hba.conf, "
            "instead of `auth.method`; each reload reads it again. See docs/authentication.md.",
     .set = set_hba_file,
     .show = show_text<service, &service::auth, &auth_config::hba_file>,
     .copy = copy_field<service, &service::auth, &auth_config::hba_file>},
    {.name = "auth.ident_file",
     .type = "path",
     .is_reloadable = reloadable,
     .doc = "The user name maps that records of `hba_file` name (`cert map=NAME`, `peer "
            "map=NAME`), in the format of pg_ident.conf; each reload reads it again.",
     .set = set_ident_file,
     .show = show_text<service, &service::auth, &auth_config::ident_file>,
     .copy = copy_field<service, &service::auth, &auth_config::ident_file>},
    text_key<service, &service::auth, &auth_config::query>(
        {.name = "auth.query",
         .is_reloadable = reloadable,
         .doc = "Asks the server for the secrets of users who are in no list: `pg_authid`, or a "
                "statement with $1 for the user whose last column is the secret. See "
                "docs/authentication.md."}
    ),
    duration_key<service, &service::auth, &auth_config::query_max_age>(
        {.name = "auth.query_max_age",
         .initial = "1m",
         .is_reloadable = reloadable,
         .doc = "How long an answer is remembered, also that there is none; a failed login forgets "
                "it at once."}
    ),
    text_key<service, &service::auth, &auth_config::query_user>(
        {.name = "auth.query_user",
         .is_reloadable = reloadable,
         .doc = "Who asks; by default `admin.user`."}
    ),
    text_key<service, &service::auth, &auth_config::query_dbname>(
        {.name = "auth.query_dbname",
         .is_reloadable = reloadable,
         .doc = "Where; by default `admin.dbname`."}
    ),
    text_key<service, &service::auth, &auth_config::query_passfile>(
        {.name = "auth.query_passfile",
         .is_reloadable = reloadable,
         .doc = "libpq's password file (mode 0600) for it; by default `admin.passfile`."}
    ),
    choice_key<service, proxy::client_tls, &service::tls, &client_tls_config::mode>(
        {.name = "tls.mode",
         .type = "disable | allow | prefer | require | verify-ca | verify-full",
         .initial = "prefer",
         .is_reloadable = reloadable,
         .doc =
             "TLS towards clients, where there is a `cert`: with `require` plain connections are "
             "refused (not on unix sockets), with `verify-ca` also whoever shows no certificate, "
             "with `verify-full` whoever shows that of another user; `allow` and `prefer` leave "
             "it to the client. See docs/tls.md."}
    ),
    {.name = "tls.cert",
     .type = "path",
     .is_reloadable = reloadable,
     .doc = "The certificate shown to clients and its chain, in PEM format; each reload reads it "
            "again. Without it clients get no TLS.",
     .set = set_text<service, &service::tls, &client_tls_config::cert>,
     .show = show_text<service, &service::tls, &client_tls_config::cert>,
     .copy = copy_field<service, &service::tls, &client_tls_config::cert>},
    {.name = "tls.key",
     .type = "path",
     .is_reloadable = reloadable,
     .doc = "Its private key, without a passphrase; by default in the file of the certificate.",
     .set = set_text<service, &service::tls, &client_tls_config::key>,
     .show = show_text<service, &service::tls, &client_tls_config::key>,
     .copy = copy_field<service, &service::tls, &client_tls_config::key>},
    {.name = "tls.ca",
     .type = "path",
     .is_reloadable = reloadable,
     .doc = "What signs the certificates of clients, PEM. They are asked for one and need not have "
            "any, unless a `cert` line of `auth.hba_file` lets them in.",
     .set = set_text<service, &service::tls, &client_tls_config::ca>,
     .show = show_text<service, &service::tls, &client_tls_config::ca>,
     .copy = copy_field<service, &service::tls, &client_tls_config::ca>},
    {.name = "tls.crl",
     .type = "path",
     .is_reloadable = reloadable,
     .doc = "Revocation lists, PEM: a file or a directory of them; each reload reads it again. "
            "With it each signer in `ca` has to have a list that is not outdated.",
     .set = set_text<service, &service::tls, &client_tls_config::crl>,
     .show = show_text<service, &service::tls, &client_tls_config::crl>,
     .copy = copy_field<service, &service::tls, &client_tls_config::crl>},
    duration_key<service, &service::tls, &client_tls_config::session_tickets>(
        {.name = "tls.session_tickets",
         .initial = "0s",
         .is_reloadable = reloadable,
         .doc = "How long clients may resume a TLS session instead of a whole handshake; 0 is not "
                "at all. libpq never does. Not together with `ca`. See docs/tls.md."}
    ),
    duration_key<service, &service::hold, &hold_config::timeout>(
        {.name = "hold.timeout",
         .initial = "2m",
         .is_reloadable = reloadable,
         .doc = "The longest a client waits at a closed gate before it is ended with 57P03."}
    ),
    duration_key<service, &service::hold, &hold_config::notice_after>(
        {.name = "hold.notice_after",
         .initial = "5s",
         .is_reloadable = reloadable,
         .doc = "When a waiting client gets a NOTICE that says what it waits for."}
    ),
    text_key<service, &service::admin, &admin_config::user>(
        {.name = "admin.user",
         .is_reloadable = reloadable,
         .doc = "Login of the control plane's own connections, to every backend."}
    ),
    text_key<service, &service::admin, &admin_config::dbname>(
        {.name = "admin.dbname",
         .is_reloadable = reloadable,
         .doc = "Database of the control plane's own connections."}
    ),
    text_key<service, &service::admin, &admin_config::passfile>(
        {.name = "admin.passfile",
         .is_reloadable = reloadable,
         .doc = "libpq's password file (mode 0600) for that login."}
    ),
    text_key<service, &service::admin, &admin_config::service>(
        {.name = "admin.service",
         .is_reloadable = reloadable,
         .doc = "A section of libpq's pg_service.conf with further settings for that login."}
    ),
    {.name = "admin.conninfo",
     .type = "text",
     .is_reloadable = reloadable,
     .doc =
         "Further libpq parameters for that login, such as `sslmode=verify-full`; the keys above "
         "win. No address and no password.",
     .is_secret = true,
     .set = set_conninfo,
     .show = show_text<service, &service::admin, &admin_config::conninfo>,
     .copy = copy_field<service, &service::admin, &admin_config::conninfo>},
    choice_key<service, replication_kind, &service::replication, &replication_config::kind>(
        {.name = "replication.kind",
         .type = "none | physical | logical",
         .initial = "none",
         .is_reloadable = reloadable,
         .doc = "How the new backend follows the old one; decides what a cutover waits for."}
    ),
    text_key<service, &service::replication, &replication_config::subscription>(
        {.name = "replication.subscription",
         .is_reloadable = reloadable,
         .doc = "The subscription on the new backend; obligatory for `kind: logical`."}
    ),
    choice_key<service, reverse_mode, &service::replication, &replication_config::reverse>(
        {.name = "replication.reverse",
         .type = "off | on",
         .initial = "off",
         .is_reloadable = reloadable,
         .doc = "Whether a cutover with `kind: logical` lets the old backend follow the new one "
                "from the commit point on, so that `rollback` loses nothing."}
    ),
    choice_key<service, currval_policy, &service::pins, &pins_config::currval>(
        {.name = "pins.currval",
         .type = "called | defined",
         .initial = "called",
         .is_reloadable = reloadable,
         .doc = "What currval() and lastval() would tell cannot be moved. `called` pins sessions "
                "that have asked for it; `defined` also those that could, having used nextval(), "
                "in a column's default too."}
    ),
    number_key<service, 1, 1'000'000, &service::max_connections>(
        {.name = "max_connections",
         .unit = "clients",
         .initial = "10000",
         .is_reloadable = reloadable,
         .doc = "Further clients get 53300."}
    ),
    duration_key<service, &service::connect_timeout>(
        {.name = "connect_timeout",
         .initial = "5s",
         .is_reloadable = reloadable,
         .doc = "How long reaching a backend may take."}
    ),
    duration_key<service, &service::login_timeout>(
        {.name = "login_timeout",
         .initial = "1m",
         .is_reloadable = reloadable,
         .doc = "How long a client's startup and authentication may take."}
    ),
    number_key<service, 1, 10'000, &service::moves_in_flight>(
        {.name = "moves_in_flight",
         .unit = "sessions",
         .initial = "32",
         .is_reloadable = reloadable,
         .doc =
             "How many sessions are copied or moved at the same time; while clients are served, no "
             "more of them than the servers bear without getting slower."}
    ),
};

const config_key<listen_config> listeners[] = {
    {.name = "address",
     .type = "address",
     .initial = "required",
     .doc = "As an address that stands alone.",
     .set = set_listen_address,
     .show = show_listen_address},
    choice_key<listen_config, proxy_protocol_mode, &listen_config::proxy_protocol>(
        {.name = "proxy_protocol",
         .type = "off | required",
         .initial = "off",
         .doc = "`required`: load balancers connect here, and every connection begins with a PROXY "
                "protocol header, version 1 or 2, that tells the client's address. It is never "
                "looked for elsewhere."}
    ),
    {.name = "trusted",
     .type = "list of address ranges",
     .is_list = true,
     .doc =
         "The load balancers: `10.0.0.0/8`, `::1`, `local` (unix socket), `all`. Obligatory with "
         "`required`; everybody else is refused with 28000.",
     .set = add_trusted,
     .show = show_trusted},
};

const config_key<backend_config> backends[] = {
    {.name = "host",
     .type = "host name, address or /socket/directory",
     .initial = "required",
     .doc = "Where the PostgreSQL server is reached.",
     .set = set_backend_host,
     .show = show_backend_host},
    {.name = "port",
     .type = "whole number",
     .initial = "5432",
     .doc = "Its port; for a socket directory the number in the socket's name.",
     .set = set_backend_port,
     .show = show_backend_port},
    choice_key<backend_config, proxy::backend_tls, &backend_config::tls, &backend_tls_config::mode>(
        {.name = "tls.mode",
         .type = "disable | prefer | require | verify-ca | verify-full",
         .initial = "disable",
         .doc = "TLS towards the backend, as libpq's sslmode; also of the control plane's own "
                "connections, which `disable` leaves to `admin.conninfo`. See docs/tls.md."}
    ),
    {.name = "tls.ca",
     .type = "path",
     .doc = "Certificates that the backend's has to be signed by, in PEM format; each reload reads "
            "it again. Obligatory for `verify-ca` and `verify-full`.",
     .set = set_text<backend_config, &backend_config::tls, &backend_tls_config::ca>,
     .show = show_text<backend_config, &backend_config::tls, &backend_tls_config::ca>},
    {.name = "replication_conninfo",
     .type = "text",
     .doc = "libpq parameters by which the other backend subscribes to this one (`reverse: on`), "
            "over `host`, `port` and `admin`'s user and dbname, such as `host=10.0.0.5 "
            "passfile=/var/lib/postgresql/.pgpass`.",
     .is_secret = true,
     .set = set_text<backend_config, &backend_config::replication_conninfo>,
     .show = show_text<backend_config, &backend_config::replication_conninfo>},
};

}  // namespace

std::span<const config_key<config>> global_keys() {
    return globals;
}
std::span<const config_key<service_config>> service_keys() {
    static const auto all = [] {
        std::vector<config_key<service>> keys(std::begin(services), std::end(services));
        keys.insert(keys.begin() + 1, databases_key());  // behind `listen`
        for (const auto& part :
             {canary_keys(), limit_keys(), console_keys(), cutover_keys(), check_keys()}) {
            keys.insert(keys.end(), part.begin(), part.end());
        }
        return keys;
    }();
    return all;
}
std::span<const config_key<listen_config>> listen_keys() {
    return listeners;
}
std::span<const config_key<backend_config>> backend_keys() {
    static const auto all = [] {
        std::vector<config_key<backend_config>> keys(std::begin(backends), std::end(backends));
        const auto logins = login_keys();  // keys of `tls` stand together
        keys.insert(keys.end() - 1, logins.begin(), logins.end());
        return keys;
    }();
    return all;
}

bool is_valid_name(std::string_view name) {
    constexpr std::size_t name_bytes_max = 63;
    constexpr std::string_view allowed =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    return !name.empty() && name.size() <= name_bytes_max &&
           name.find_first_not_of(allowed) == std::string_view::npos;
}

}  // namespace pgsluice::control
