// Whom a running daemon asks for the secrets of users who are in no list.
#include "control/daemon/daemon.hpp"

namespace pgsluice::control {

/// Null where the service looks nobody up. `i` is its number; called before it is in force.
std::shared_ptr<proxy::secret_source>
daemon::secrets_of(const service_config& service, std::size_t i) {
    const auth_config& auth = service.auth;
    if (auth.query.empty()) {
        return nullptr;
    }
    const secret_lookup::settings settings{
        .query = auth.query == "pg_authid" ? secret_lookup::pg_authid_query : auth.query,
        .max_age = auth.query_max_age};
    secrets_.resize(std::max(secrets_.size(), i + 1));
    if (secrets_[i]) {
        secrets_[i]->apply(settings);
    } else {
        secrets_[i] = std::make_shared<secret_lookup>(
            settings,
            secret_lookup::surroundings{
                .salt_key = salt_key_,
                .login =
                    [this, i] {
                        return secret_login(i);
                    }}
        );
    }
    return secrets_[i];
}

/// To the server that the service is on at this moment.
pg_login daemon::secret_login(std::size_t i) {
    const proxy::route at = engine_.current_route(i);
    const std::lock_guard guard(reload_mutex_);
    const service_config& service = arguments_.settings.services[i];
    const backend_config& backend = service.backends[at.backend];
    pg_login login{
        .server = backend.name,
        .address = backend.address,
        .admin = service.admin,
        .application_name = "pgsluice:" + service.name,
        .tls = backend.tls};
    const auth_config& auth = service.auth;
    const auto prefer = [](const std::string& own, std::string& otherwise) {
        otherwise = own.empty() ? otherwise : own;
    };
    prefer(auth.query_user, login.admin.user);
    prefer(auth.query_dbname, login.admin.dbname);
    prefer(auth.query_passfile, login.admin.passfile);
    return login;
}

}  // namespace pgsluice::control
