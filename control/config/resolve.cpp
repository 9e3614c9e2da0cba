// The configuration in the data plane's terms.
#include "control/config/resolve.hpp"

#include "control/base/words.hpp"
#include "control/config/console_rules.hpp"
#include "control/config/user_files.hpp"
#include "proxy/access/address_set.hpp"
#include "proxy/model/operator_console.hpp"
#include "proxy/net/resolve.hpp"

#include <cstdlib>

namespace pgsluice::control {

namespace {

proxy::login_method login_method_of(auth_method method) {
    switch (method) {
    case auth_method::passthrough:
        break;
    case auth_method::trust:
        return proxy::login_method::trust;
    case auth_method::scram_sha_256:
        return proxy::login_method::scram_sha_256;
    case auth_method::md5:
        return proxy::login_method::md5;
    case auth_method::peer:
        return proxy::login_method::peer;
    }
    return proxy::login_method::passthrough;
}

using shared_users = std::shared_ptr<const protocol::user_list>;

result<shared_users> users_of(
    const auth_config& auth, const proxy::login_rules* rules, const protocol::secret_key& salt_key
) {
    if (auth.users_file.empty()) {
        return shared_users();
    }
    auto users = std::make_shared<protocol::user_list>(salt_key);
    if (auto read = read_users(auth.users_file, *users); !read) {
        return read.error();
    }
    if (auth.method == auth_method::scram_sha_256 ||
        (rules && rules->has(proxy::login_method::scram_sha_256))) {
        users->derive_verifiers();
    }
    return shared_users(std::move(users));
}

using shared_rules = std::shared_ptr<const proxy::login_rules>;

result<shared_rules> rules_of(const auth_config& auth) {
    if (auth.hba_file.empty()) {
        return shared_rules();
    }
    auto rules = read_login_rules(auth.hba_file);
    if (!rules) {
        return rules.error();
    }
    return shared_rules(std::make_shared<const proxy::login_rules>(std::move(*rules)));
}

using shared_maps = std::shared_ptr<const proxy::user_maps>;

/// Every map that a record names has to be there: it would let nobody in, and look as if it did.
result<shared_maps> maps_of(const auth_config& auth, const proxy::login_rules* rules) {
    shared_maps maps;
    if (!auth.ident_file.empty()) {
        auto read = read_user_maps(auth.ident_file);
        if (!read) {
            return read.error();
        }
        maps = std::make_shared<const proxy::user_maps>(std::move(*read));
    }
    for (const auto& [name, line] : rules ? rules->maps() : proxy::login_rules::named_maps{}) {
        if (!maps || !maps->has(name)) {
            return failure{
                "F0000",
                auth.hba_file + ":" + std::to_string(line) + ": map \"" + name +
                    "\" is not in auth.ident_file",
                {},
                {}};
        }
    }
    return maps;
}

result<proxy::tls_context::pointer> identity_of(const client_tls_config& tls) {
    if (tls.cert.empty() || tls.mode == proxy::client_tls::disable) {
        return proxy::tls_context::pointer();
    }
    return proxy::tls_context::for_clients(tls.rules());
}

result<proxy::tls_context::pointer> rules_of(const backend_config& backend) {
    if (backend.tls.mode == proxy::backend_tls::disable) {
        return proxy::tls_context::pointer();
    }
    return proxy::tls_context::for_backend(backend.tls.rules(backend.address.host));
}

/// Backends keep their places, resolved or not.
result<void> resolve_backends(
    const service_config& service, proxy::service_settings& settings, resolved_service& resolved
) {
    for (const backend_config& backend : service.backends) {
        auto endpoints = proxy::resolve(backend.address.host, backend.address.port);
        if (!endpoints) {
            resolved.unresolved.push_back(backend.name + ": " + endpoints.error().message);
        }
        auto rules = rules_of(backend);
        if (!rules) {
            return rules.error();
        }
        auto login = read_login(backend, backend.login);
        if (!login) {
            return login.error();
        }
        auto read_only_login = read_login(backend, backend.read_only_login);
        if (!read_only_login) {
            return read_only_login.error();
        }
        settings.backends.push_back(
            {.name = backend.name,
             .endpoints = endpoints ? *endpoints : std::vector<proxy::endpoint>(),
             .tls = std::move(*rules),
             .login = std::move(*login),
             .read_only_login = std::move(*read_only_login),
             .dbname = backend.dbname,
             .binding = backend.binding,
             .send_proxy = backend.send_proxy}
        );
    }
    return {};
}

/// What means the same on both sides.
void copy_values(const service_config& service, proxy::service_settings& settings) {
    settings.max_connections = service.max_connections;
    settings.client_address = service.client_address;
    settings.failed_logins_max = service.limits.failed_logins;
    settings.unknown_cancels_max = service.limits.unknown_cancels;
    settings.unauthenticated_max = service.limits.unauthenticated;
    settings.moves_in_flight = service.moves_in_flight;
    settings.pins_defined_currval = service.pins.currval == currval_policy::defined;
    settings.connect_timeout = service.connect_timeout;
    settings.login_timeout = service.login_timeout;
    settings.hold_timeout = service.hold.timeout;
    settings.notice_after = service.hold.notice_after;
}

}  // namespace

result<std::shared_ptr<const proxy::fixed_login>>
read_login(const backend_config& backend, const backend_login_config& login) {
    using shared_login = std::shared_ptr<const proxy::fixed_login>;
    if (login.user.empty()) {
        return shared_login();
    }
    auto made = std::make_shared<proxy::fixed_login>();
    made->user = login.user;
    if (!login.password_env.empty()) {
        const char* const password = std::getenv(login.password_env.c_str());
        if (password == nullptr) {
            return failure{
                "F0000",
                "backend " + backend.name + ": environment variable " + login.password_env +
                    " is not set",
                {},
                {}};
        }
        made->password = protocol::secret(password);
    } else if (!login.password_file.empty()) {
        auto password = read_password(login.password_file);
        if (!password) {
            return password.error();
        }
        made->password = std::move(*password);
    }
    return shared_login(std::move(made));
}

namespace {

/// Where the service is reached, and through which load balancers.
result<void> resolve_listeners(const service_config& service, proxy::service_settings& settings) {
    for (const listen_config& each : service.listen) {
        const auto endpoints = proxy::resolve_listen(each.address.text());
        if (!endpoints) {
            return endpoints.error();
        }
        std::shared_ptr<const proxy::address_set> balancers;
        if (each.proxy_protocol == proxy_protocol_mode::required) {
            auto trusted = proxy::address_set::parse(each.trusted);
            if (!trusted) {
                return trusted.error();
            }
            balancers = std::make_shared<const proxy::address_set>(std::move(*trusted));
        }
        for (const proxy::endpoint& at : *endpoints) {
            settings.listen.push_back({at, balancers});
        }
    }
    return {};
}

}  // namespace

result<resolved_service> resolve_service(
    const service_config& service,
    const testing_config& testing,
    const protocol::secret_key& salt_key,
    service_askers askers
) {
    auto rules = rules_of(service.auth);
    if (!rules) {
        return rules.error();
    }
    auto maps = maps_of(service.auth, rules->get());
    if (!maps) {
        return maps.error();
    }
    auto users = users_of(service.auth, rules->get(), salt_key);
    if (!users) {
        return users.error();
    }
    auto identity = identity_of(service.tls);
    if (!identity) {
        return identity.error();
    }
    auto settings = std::make_shared<proxy::service_settings>();
    resolved_service resolved;
    settings->name = service.name;
    settings->databases = service.databases;
    if (auto added = resolve_listeners(service, *settings); !added) {
        return added.error();
    }
    if (auto added = resolve_backends(service, *settings, resolved); !added) {
        return added.error();
    }
    settings->login = login_method_of(service.auth.method);
    settings->rules = std::move(*rules);
    settings->maps = std::move(*maps);
    settings->users = std::move(*users);
    settings->secrets = std::move(askers.secrets);
    if (askers.console) {
        settings->console = std::make_shared<const proxy::console_access>(proxy::console_access{
            console_from(service.console), std::move(askers.console)});
    }
    settings->tls = service.tls.mode;
    settings->identity = std::move(*identity);
    settings->move_every = testing.move_every;
    copy_values(service, *settings);
    resolved.settings = std::move(settings);
    return resolved;
}

std::uint32_t backend_index(const service_config& service, std::string_view backend) {
    const backend_config* found = service.find_backend(backend);
    PGSLUICE_ASSERT(found != nullptr);
    return static_cast<std::uint32_t>(found - service.backends.data());
}

failure no_such_backend(const service_config& service, std::string_view name) {
    std::vector<std::string_view> names;
    for (const backend_config& backend : service.backends) {
        names.push_back(backend.name);
    }
    return failure{
        "22023",
        "\"" + std::string(name) + "\" is not a backend of service " + service.name +
            ", expected " + one_of(names) + did_you_mean(name, names),
        {},
        {}};
}

}  // namespace pgsluice::control
