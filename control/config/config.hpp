#pragma once

#include "control/base/host_port.hpp"
#include "control/config/check_level.hpp"
#include "control/config/fence_method.hpp"
#include "protocol/auth/credentials.hpp"
#include "protocol/errors.hpp"
#include "protocol/wire/proxy_header.hpp"
#include "proxy/model/route.hpp"
#include "proxy/model/service_settings.hpp"
#include "proxy/net/tls_context.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::control {

enum class log_level : std::uint8_t { debug, info, warn, error };
enum class log_format : std::uint8_t { text, json };
enum class auth_method : std::uint8_t { passthrough, trust, scram_sha_256, md5, peer };
enum class replication_kind : std::uint8_t { none, physical, logical };
/// What a cutover does with sessions that cannot be moved.
enum class pinned_policy : std::uint8_t { abort, terminate, wait };
enum class reverse_mode : std::uint8_t { off, on };
enum class currval_policy : std::uint8_t { called, defined };
/// Whether a service is forced read-only when it starts for the first time.
enum class first_access : std::uint8_t { read_write, read_only };
/// Whether the sessions of a canary are forced read-only.
enum class canary_access : std::uint8_t { read_only, read_write };
/// The same, of a cutover's new backend from the switch on.
enum class later_access : std::uint8_t { unchanged, read_only };

/// Whether connections begin with a PROXY protocol header.
enum class proxy_protocol_mode : std::uint8_t { off, required };

struct listen_config {
    host_port address;
    proxy_protocol_mode proxy_protocol = proxy_protocol_mode::off;
    std::vector<std::string> trusted{};  ///< ranges of the load balancers, see proxy::address_set
    bool operator==(const listen_config&) const = default;
};

/// TLS towards a backend. `disable` leaves the control plane's own connections to admin.conninfo.
struct backend_tls_config {
    proxy::backend_tls mode = proxy::backend_tls::disable;
    std::string ca;
    std::string crl{};   ///< file or directory; empty: revocation is not looked at
    std::string cert{};  ///< shown to the backend; empty: none
    std::string key{};   ///< empty: in the file of the certificate

    std::string key_file() const { return key.empty() ? cert : key; }
    proxy::tls_context::backend_rules rules(const std::string& host) const {
        return {.mode = mode, .ca = ca, .host = host, .cert = cert, .key = key_file(), .crl = crl};
    }
    bool operator==(const backend_tls_config&) const = default;
};

/// As whom all sessions log in at a backend; without a user each as its client.
struct backend_login_config {
    std::string user{};
    std::string password_env{};
    std::string password_file{};
    bool operator==(const backend_login_config&) const = default;
};

struct backend_config {
    std::string name;
    host_port address{{}, 5432};
    std::string replication_conninfo;  ///< over address and admin, for who subscribes to it
    backend_tls_config tls{};
    backend_login_config login{};
    backend_login_config read_only_login{};  ///< without a user there is none
    protocol::channel_binding binding = protocol::channel_binding::prefer;
    protocol::proxy_version send_proxy = protocol::proxy_version::none;
    std::string dbname{};  ///< empty: what the client asks for
    bool operator==(const backend_config&) const = default;
};

struct auth_config {
    auth_method method = auth_method::passthrough;
    std::string users_file{};
    std::string hba_file{};    ///< not empty: it decides instead of `method`
    std::string ident_file{};  ///< the maps that records of `hba_file` name
    std::string query{};       ///< empty: nobody is looked up
    std::chrono::milliseconds query_max_age{60'000};
    std::string query_user{};  ///< empty: admin.user
    std::string query_dbname{};
    std::string query_passfile{};
    bool operator==(const auth_config&) const = default;
};

/// TLS towards clients; they get none without a certificate.
struct client_tls_config {
    proxy::client_tls mode = proxy::client_tls::prefer;
    std::string cert;
    std::string key;  ///< empty: in the file of the certificate
    std::string ca;   ///< empty: clients are not asked for certificates
    std::string crl;  ///< file or directory; empty: revocation is not looked at
    std::chrono::milliseconds session_tickets{0};  ///< 0: none are given

    proxy::tls_context::client_rules rules() const {
        return {
            .cert = cert,
            .key = key.empty() ? cert : key,
            .ca = ca,
            .crl = crl,
            .tickets = std::chrono::ceil<std::chrono::seconds>(session_tickets)};
    }
    bool operator==(const client_tls_config&) const = default;
};

struct hold_config {
    std::chrono::milliseconds timeout{120'000};
    std::chrono::milliseconds notice_after{5'000};
    bool operator==(const hold_config&) const = default;
};

/// The control plane's own libpq login, the same for every backend of the service.
struct admin_config {
    std::string user;
    std::string dbname;
    std::string passfile;
    std::string service;
    std::string conninfo;
    bool operator==(const admin_config&) const = default;
};

struct replication_config {
    replication_kind kind = replication_kind::none;
    std::string subscription;
    reverse_mode reverse = reverse_mode::off;
    bool operator==(const replication_config&) const = default;
};

struct cutover_config {
    std::chrono::milliseconds drain_timeout{10'000};
    std::chrono::milliseconds long_transaction{500};
    std::chrono::milliseconds catch_up_timeout{30'000};
    std::chrono::milliseconds timeout{600'000};
    std::chrono::milliseconds preflight_timeout{15'000};
    std::chrono::milliseconds prepare_timeout{30'000};
    std::chrono::milliseconds fence_timeout{10'000};
    std::chrono::milliseconds sequences_timeout{10'000};
    std::chrono::milliseconds promote_timeout{60'000};
    std::chrono::milliseconds verify_timeout{10'000};
    std::chrono::milliseconds hook_timeout{60'000};
    std::chrono::milliseconds prewarm_timeout{30'000};
    std::chrono::milliseconds pause_limit{0};
    std::uint32_t attempts = 1;
    std::chrono::milliseconds retry_after{5'000};
    pinned_policy on_pinned = pinned_policy::abort;
    fence_method fence = fence_method::default_read_only;
    std::uint32_t sequence_margin = 0;
    std::vector<std::string> prewarm;  ///< relations, as regclass reads them
    std::string verify_query;
    std::string promote_command;
    std::string before_command;
    std::string after_command;
    std::string abort_command;
    std::string admit_after;  ///< ranges as `admit` takes them; empty: admission stays as it is
    later_access access_after = later_access::unchanged;
    std::string fence_command;
    std::string unfence_command;

    /// A fence of the operator's own needs a way up and a way down.
    bool lacks_fence_commands() const {
        return fence == fence_method::command && (fence_command.empty() || unfence_command.empty());
    }
    bool operator==(const cutover_config&) const = default;
};

/// Who is sent to another backend when a service starts for the first time; no backend: nobody.
struct canary_config {
    std::string cidr{};  ///< ranges as `admit` takes them
    std::string backend{};
    canary_access access = canary_access::read_only;
    bool operator==(const canary_config&) const = default;
};

/// Who may use the console of a service; nobody listed: there is none.
struct console_config {
    std::vector<std::string> admins{};
    std::vector<std::string> operators{};
    std::vector<std::string> viewers{};
    std::vector<std::string> from{};  ///< ranges of addresses; empty: see console_from()

    bool is_open() const { return !admins.empty() || !operators.empty() || !viewers.empty(); }
    bool operator==(const console_config&) const = default;
};

/// By client address, the first two by minute; 0: no limit.
struct limits_config {
    std::uint32_t failed_logins = 0;
    std::uint32_t unknown_cancels = 1'000;
    std::uint32_t unauthenticated = 0;
    bool operator==(const limits_config&) const = default;
};

struct pins_config {
    currval_policy currval = currval_policy::called;
    bool operator==(const pins_config&) const = default;
};

/// One endpoint that applications connect to.
struct service_config {
    std::string name;
    std::vector<listen_config> listen;
    std::vector<std::string> databases{};  ///< as proxy::service_settings has them
    std::vector<backend_config> backends;
    std::string route;  ///< a backend's name; the journal overrides it after the first start
    first_access access = first_access::read_write;  ///< likewise
    auth_config auth;
    console_config console;
    client_tls_config tls;
    hold_config hold;
    admin_config admin;
    replication_config replication;
    cutover_config cutover;
    pins_config pins;
    canary_config canary;
    limits_config limits;
    check_levels checks;  ///< those that differ from the table of checks
    std::uint32_t max_connections = 10'000;
    proxy::address_shown client_address = proxy::address_shown::nowhere;
    std::chrono::milliseconds connect_timeout{5'000};
    std::chrono::milliseconds login_timeout{60'000};
    std::uint32_t moves_in_flight = 32;

    /// Null when there is no backend of that name. The pointer lives as long as the service.
    const backend_config* find_backend(std::string_view backend) const;
    bool operator==(const service_config&) const = default;
};

struct control_config {
    std::string socket = "/run/pgsluice/control.sock";
    std::string state_dir = "/var/lib/pgsluice";
    bool operator==(const control_config&) const = default;
};

struct log_config {
    log_level level = log_level::info;
    log_format format = log_format::text;
    bool operator==(const log_config&) const = default;
};

struct testing_config {
    std::uint32_t move_every = 0;
    bool operator==(const testing_config&) const = default;
};

struct dns_config {
    std::chrono::milliseconds max_age{15'000};  ///< 0: until a connection fails
    bool operator==(const dns_config&) const = default;
};

struct stats_config {
    std::chrono::milliseconds period{60'000};  ///< of the averages in SHOW STATS
    bool operator==(const stats_config&) const = default;
};

/// A whole validated configuration: built at once, never changed afterwards. A reload builds
/// another.
struct config {
    control_config control;
    std::uint32_t workers = 0;  ///< threads; 0 = one per core
    std::optional<host_port> http;
    dns_config dns;
    stats_config stats;
    log_config log;
    std::vector<service_config> services;
    testing_config testing;

    /// Null when there is no service of that name. The pointer lives as long as the configuration.
    const service_config* find_service(std::string_view service) const;
    bool operator==(const config&) const = default;
};

/// One thing that is wrong in a configuration file, or worth a warning. Line and column count
/// from 1.
struct config_problem {
    int line = 0;
    int column = 0;
    std::string text;  ///< what is wrong, what was expected, what was probably meant
};

/// What reading a file gives: a configuration only when there is not one error.
struct config_outcome {
    std::optional<config> value;
    std::vector<config_problem> errors;    ///< all of them, by line
    std::vector<config_problem> warnings;  ///< accepted, but not as the writer may expect
};

/// Reads and validates YAML text and the files it names as auth.users_file. Never throws; YAML
/// syntax errors are problems like any other.
config_outcome parse_config(std::string_view yaml);

/// parse_config() on a file's contents. An unreadable file is an error at line 1, column 1.
config_outcome load_config(const std::string& path);

/// `FILE:LINE:COL: text`, as `pgsluice --check` prints it.
std::string format_problem(std::string_view file, const config_problem& found);

/// The arguments of a start without a file.
struct quick_start {
    std::string listen;
    std::vector<std::string> backends;  ///< NAME=HOST:PORT or NAME=/socket/dir:PORT
    std::string state_dir;
    std::string socket;
    std::string workers;  ///< as the key `workers`; empty = auto
};

/// The configuration of `pgsluice --listen ... --backend ...`: one service `default`, routed to the
/// first backend. state_dir and socket must be filled in by then (see private_directory()).
result<config> quick_config(const quick_start& arguments);

/// The effective configuration as YAML with every key; parse_config() reads it back as equal.
std::string print_config(const config& value);

/// configs/reference.md: every key with type, default, whether a reload applies it, and what it
/// does.
std::string config_reference();

/// A key whose value differs between two configurations.
struct config_change {
    std::string key;  ///< dotted, as `services.app.hold.timeout`
    std::string before;
    std::string after;
    bool needs_restart = false;
};

/// What a reload from `before` to `after` changes, in the order of the reference. Added backends
/// are reloadable; anything else about services and backends coming or going needs a restart.
std::vector<config_change> config_changes(const config& before, const config& after);

/// `running` with everything of `wanted` that needs no restart. Added backends come last, so that
/// the others keep their places.
config reloaded(const config& running, const config& wanted);

}  // namespace pgsluice::control
