#pragma once

#include "protocol/errors.hpp"
#include "protocol/wire/startup.hpp"
#include "proxy/model/service_settings.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace pgsluice::proxy {

/// What a client waits for.
enum class hold_reason : std::uint8_t {
    gate_closed,
    not_admitted,  ///< the gate is open, but not for the client's address
};

}  // namespace pgsluice::proxy

/// What clients are told, each with a DETAIL or HINT that names the service.
namespace pgsluice::proxy::refusal {

/// 53300, for a client beyond service_settings::max_connections.
failure too_many_clients(const service_settings& settings);

/// 3D000, for a client whose database no service at its address is for.
failure no_such_database(std::string_view database);

/// 57P03, for a new client of a service that takes none for the time being.
failure disabled(const service_settings& settings);

/// 57P03, for a client that waited longer than service_settings::hold_timeout.
failure held_too_long(const service_settings& settings, hold_reason why);

/// 28000, for a connection to an address where only trusted load balancers connect.
failure not_a_balancer(const service_settings& settings);

/// 28000, for a plain connection where TLS is required.
failure tls_required(const service_settings& settings);

/// 28000, for a login that no record of service_settings::rules lets in. `address` as of
/// address_text(), with its port.
failure no_login_rule(
    const service_settings& settings,
    const protocol::StartupMessage& startup,
    const std::string& address,
    bool is_encrypted
);

/// 28000, for clients of an address from which service_settings::failed_logins_max have failed.
failure too_many_failures(const service_settings& settings);

/// 53300, for a connection beyond service_settings::unauthenticated_max of its address.
failure too_many_newcomers(const service_settings& settings);

/// 28000, for a client that nobody has asked who it is, at a backend with a login of its own.
failure nobody_asked(const service_settings& settings, std::uint32_t backend);

/// 57P03, for a client whose secret could not be looked up (service_settings::secrets).
failure no_lookup(const service_settings& settings);

/// The NOTICE to a logged-in client that has waited for service_settings::notice_after.
failure please_wait(const service_settings& settings, hold_reason why);

/// 57P03 with the operator's own words, for a new client outside the admitted set where such
/// clients are refused.
failure not_admitted(const service_settings& settings, const std::string& message);

/// 25006, for a replication connection to a service that is forced read-only.
failure no_replication(const service_settings& settings);

/// 08006, for a session whose backend closed the connection without saying why.
failure backend_lost(const service_settings& settings, std::uint32_t backend);

/// 08P01, for bytes that are not the protocol.
failure violation(const service_settings& settings, const std::string& what);

/// 57P01, for every client of a daemon that stops.
failure shutting_down(const service_settings& settings);

}  // namespace pgsluice::proxy::refusal
