// The configuration in the data plane's terms.
#include "control/settings.hpp"

#include "proxy/engine.hpp"

namespace pgsluice::control {

result<resolved_service>
resolve_service(const service_config& service, const testing_config& testing) {
    auto settings = std::make_shared<proxy::service_settings>();
    resolved_service resolved;
    settings->name = service.name;
    for (const host_port& address : service.listen) {
        const auto endpoints = proxy::resolve_listen(address.text());
        if (!endpoints) {
            return endpoints.error();
        }
        settings->listen.insert(settings->listen.end(), endpoints->begin(), endpoints->end());
    }
    for (const backend_config& backend : service.backends) {
        auto endpoints = proxy::resolve(backend.address.host, backend.address.port);
        if (!endpoints) {
            resolved.unresolved.push_back(backend.name + ": " + endpoints.error().message);
        }
        settings->backends.push_back(
            {backend.name, endpoints ? *endpoints : std::vector<proxy::endpoint>()}
        );
    }
    settings->max_connections = service.max_connections;
    settings->moves_in_flight = service.moves_in_flight;
    settings->move_every = testing.move_every;
    settings->pins_defined_currval = service.pins.currval == currval_policy::defined;
    settings->connect_timeout = service.connect_timeout;
    settings->login_timeout = service.login_timeout;
    settings->hold_timeout = service.hold.timeout;
    settings->notice_after = service.hold.notice_after;
    resolved.settings = std::move(settings);
    return resolved;
}

std::uint32_t backend_index(const service_config& service, std::string_view backend) {
    const backend_config* found = service.find_backend(backend);
    PGSLUICE_ASSERT(found != nullptr);
    return static_cast<std::uint32_t>(found - service.backends.data());
}

}  // namespace pgsluice::control
