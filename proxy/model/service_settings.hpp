#pragma once

#include "protocol/auth/credentials.hpp"
#include "protocol/wire/proxy_header.hpp"
#include "proxy/access/login_method.hpp"
#include "proxy/net/endpoint.hpp"
#include "proxy/net/tls_context.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace pgsluice::protocol {
class user_list;
}

namespace pgsluice::proxy {

using std::chrono::milliseconds;

/// A login that all sessions of a backend have.
struct fixed_login {
    std::string user;
    protocol::secret password;
};

/// A named PostgreSQL server. All endpoints are tried in order.
struct backend_target {
    std::string name;
    std::vector<endpoint> endpoints;
    tls_context::pointer tls{};                  ///< null: plain
    std::shared_ptr<const fixed_login> login{};  ///< null: each session's is its client's own
    /// What sessions have instead while they are forced_access::restricted; null: there is none.
    std::shared_ptr<const fixed_login> read_only_login{};
    std::string dbname{};  ///< empty: what the client asks for
    protocol::channel_binding binding = protocol::channel_binding::prefer;
    /// What each of its connections begins with: for whom it is.
    protocol::proxy_version send_proxy = protocol::proxy_version::none;
};

/// What keeps the sessions of a service from writing.
enum class forced_access : std::uint8_t {
    none,        ///< nothing does
    guarded,     ///< the read-only guard
    restricted,  ///< a login that may only read; the guard until a session has it
};

/// How a server is told where the client comes from.
enum class address_shown : std::uint8_t {
    nowhere,
    application_name,  ///< behind what the client gives
    setting,           ///< `pgsluice.client_address`
};

class address_set;
struct console_access;
class login_rules;
class secret_source;
class user_maps;

/// The door that a client came in by; the same for all of a listener.
struct entrance {
    std::shared_ptr<const address_set> balancers;  ///< see listen_point
    std::vector<std::size_t> services;             ///< reached here, in their order; one at least
};

/// Where a service is reached.
struct listen_point {
    endpoint at;
    /// Who may connect, and begins with a PROXY protocol header; null: clients connect themselves.
    std::shared_ptr<const address_set> balancers;
};

/// Everything a worker needs to know of a service. Immutable: a reload builds a new one and swaps
/// it whole; sessions keep the one they started a step with.
struct service_settings {
    std::string name;
    std::vector<listen_point> listen;
    /// What clients ask for who are meant for this service, where several are reached at one
    /// address; "*" is whatever no other one names, and an empty list is everything.
    std::vector<std::string> databases{};
    std::vector<backend_target> backends;
    login_method login = login_method::passthrough;
    std::shared_ptr<const login_rules> rules{};        ///< not null: they decide instead of `login`
    std::shared_ptr<const user_maps> maps{};           ///< that `rules` name; null: none
    std::shared_ptr<const protocol::user_list> users;  ///< null: none
    std::shared_ptr<secret_source> secrets{};          ///< of those who are not in `users`; or null
    std::shared_ptr<const console_access> console{};   ///< null: there is none
    client_tls tls = client_tls::prefer;
    tls_context::pointer identity;           ///< shown to clients; null: they get no TLS
    std::uint32_t max_connections = 10'000;  ///< clients beyond it get 53300; held ones count
    std::uint32_t failed_logins_max = 0;     ///< by address, see failure_limit; 0: no limit
    std::uint32_t unknown_cancels_max = 0;   ///< the same, of CancelRequests without a session
    std::uint32_t unauthenticated_max = 0;   ///< by address, see newcomer_limit; 0: no limit
    std::uint32_t moves_in_flight = 32;      ///< sessions captured or replayed at once, all workers
    std::uint32_t move_every = 0;            ///< testing.move_every; 0 is off
    address_shown client_address = address_shown::nowhere;
    bool pins_defined_currval = false;    ///< pin whoever could call currval(), not who did
    milliseconds connect_timeout{5'000};  ///< per endpoint
    milliseconds login_timeout{60'000};   ///< client's startup packet; backend's login
    milliseconds hold_timeout{120'000};   ///< a client that waits longer gets 57P03
    milliseconds notice_after{5'000};     ///< a logged-in client that waits longer gets a NOTICE
};

}  // namespace pgsluice::proxy
