#pragma once

#include "control/config/config.hpp"
#include "protocol/auth/secret.hpp"
#include "protocol/errors.hpp"
#include "proxy/model/service_settings.hpp"

#include <memory>
#include <string>
#include <vector>

namespace pgsluice::proxy {
class operator_console;
}

namespace pgsluice::control {

/// A service as the workers need it, with every name resolved.
struct resolved_service {
    std::shared_ptr<const proxy::service_settings> settings;
    /// Backends whose names could not be resolved, in words. They have no endpoint until they can.
    std::vector<std::string> unresolved;
};

/// Whom the workers ask about a service; null: nobody.
struct service_askers {
    std::shared_ptr<proxy::secret_source> secrets{};  ///< knows the users who are in no list
    std::shared_ptr<proxy::operator_console> console{};
};

/// With its password; null without a user. Fails where the password cannot be read.
result<std::shared_ptr<const proxy::fixed_login>>
read_login(const backend_config& backend, const backend_login_config& login);

/// Resolves names, which takes as long as the resolver takes, and reads the users, which takes some
/// milliseconds for each plain password where clients are asked for SCRAM. A listen address that
/// cannot be resolved, users and certificates that cannot be read are failures; backends keep their
/// places, so a route's index means the same after a reload. `salt_key` as for protocol::user_list.
result<resolved_service> resolve_service(
    const service_config& service,
    const testing_config& testing,
    const protocol::secret_key& salt_key,
    service_askers askers = {}
);

/// `name` is not one of the service's backends: says so, with those there are and the nearest one.
failure no_such_backend(const service_config& service, std::string_view name);

/// The place of a backend in service_settings::backends; it must be one of the service's.
std::uint32_t backend_index(const service_config& service, std::string_view backend);

}  // namespace pgsluice::control
