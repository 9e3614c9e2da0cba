// What the consoles of a running daemon see and do.
#include "control/config/database_rules.hpp"
#include "control/daemon/daemon.hpp"
#include "control/journal/events.hpp"

#include <algorithm>

namespace pgsluice::control {

namespace {

constexpr std::size_t events_shown = 50;

named_service named(const service_config& service) {
    const auto& databases = service.databases;
    const bool has_one = databases.size() == 1 && databases.front() != "*";
    return {service.name, has_one ? databases.front() : std::string()};
}

}  // namespace

/// Null where the service has no console. `i` is its number; called before it is in force.
std::shared_ptr<proxy::operator_console>
daemon::console_of(const service_config& service, std::size_t i) {
    consoles_.resize(std::max(consoles_.size(), i + 1));
    if (consoles_[i]) {
        consoles_[i]->apply(service.console);
    } else if (service.console.is_open()) {
        consoles_[i] = std::make_shared<service_console>(
            service_console::surroundings{
                .service = named(service),
                .threads = console_threads_,
                .run = [this](
                           const request& given, const progress_sink& tell
                       ) { return run(given, tell); },
                .sources = sources_of(i),
                .beside = neighbours_of(i)},
            service.console
        );
    }
    return service.console.is_open() ? consoles_[i] : nullptr;
}

/// The others that clients reach where they reach this one; that takes a restart to change.
std::vector<service_console::neighbour> daemon::neighbours_of(std::size_t i) {
    const auto& all = arguments_.settings.services;
    std::vector<service_console::neighbour> beside;
    for (const std::size_t other : services_beside(all, i)) {
        if (other != i) {
            beside.push_back(
                {named(all[other]),
                 [this, other] { return services_[other]->settings()->console; },
                 sources_of(other)}
            );
        }
    }
    return beside;
}

/// Called by console threads only, which run while the services are there.
console_sources daemon::sources_of(std::size_t i) {
    return {
        .settings =
            [this] {
                const std::lock_guard guard(reload_mutex_);
                return arguments_.settings;
            },
        .service = [this, i] { return services_[i]->settings(); },
        .status = [this, i] { return services_[i]->status(); },
        .sessions = [this, i] { return engine_.sessions(i); },
        .traffic =
            [this, i] {
                return shown_traffic{
                    counts_of(engine_.stats(i), engine_.counted_traffic(i)),
                    traffic_ ? traffic_->averages(i) : traffic_counts{}};
            },
        .events =
            [this, i] {
                const auto records = log_->read();
                const event_filter wanted{
                    .service = services_[i]->name(), .after = 0, .last = events_shown};
                return records ? events_json(*records, wanted) : boost::json::array();
            },
        .names =
            [this, i] {
                return names_of(i);
            }};
}

/// From its start on; until then averages are 0.
void daemon::watch_traffic() {
    traffic_ = std::make_unique<traffic_sampler>(traffic_sampler::surroundings{
        .read =
            [this] {
                std::vector<traffic_counts> counts;
                for (std::size_t i = 0; i < services_.size(); ++i) {
                    counts.push_back(counts_of(engine_.stats(i), engine_.counted_traffic(i)));
                }
                return counts;
            },
        .period =
            [this] {
                const std::lock_guard guard(reload_mutex_);
                return arguments_.settings.stats.period;
            }});
}

std::vector<known_name> daemon::names_of(std::size_t i) {
    const std::lock_guard guard(reload_mutex_);
    const service_config& service = arguments_.settings.services[i];
    std::vector<known_name> names;
    for (const server_name& looked_up : names_to_look_up(service)) {
        known_name& name = names.emplace_back(known_name{looked_up.first, {}});
        for (std::size_t n = 0; n < service.backends.size(); ++n) {
            const host_port& address = service.backends[n].address;
            if (address.host != looked_up.first || address.port != looked_up.second) {
                continue;
            }
            for (const proxy::endpoint& at : in_force_[i].settings->backends[n].endpoints) {
                name.addresses.push_back(split_address(at.text).host);
            }
            break;
        }
    }
    return names;
}

service_askers daemon::askers_of(const service_config& service, std::size_t i) {
    return {.secrets = secrets_of(service, i), .console = console_of(service, i)};
}

}  // namespace pgsluice::control
