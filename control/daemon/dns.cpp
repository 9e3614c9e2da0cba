// How a running daemon keeps the addresses of its servers up to date.
#include "control/daemon/daemon.hpp"

#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

namespace pgsluice::control {

void daemon::watch_names() {
    const auto failures = [this] {
        std::uint64_t sum = 0;
        for (std::size_t i = 0; i < services_.size(); ++i) {
            sum += engine_.stats(i).connects_failed;
        }
        return sum;
    };
    const auto names = [this] {
        const std::lock_guard guard(reload_mutex_);
        std::vector<server_name> all;
        for (const service_config& service : arguments_.settings.services) {
            for (server_name& name : names_to_look_up(service)) {
                all.push_back(std::move(name));
            }
        }
        return all;
    };
    const auto max_age = [this] {
        const std::lock_guard guard(reload_mutex_);
        return arguments_.settings.dns.max_age;
    };
    names_ = std::make_unique<name_refresh>(name_refresh::surroundings{
        .look_up = proxy::resolve,
        .names = names,
        .failures = failures,
        .max_age = max_age,
        .apply = [this](const lookup_results& found) {
            return apply_addresses(found);
        }});
}

/// Not while an operation runs: what it began with one server it shall end with the same one.
bool daemon::apply_addresses(const lookup_results& found) {
    const std::lock_guard guard(reload_mutex_);
    const config& settings = arguments_.settings;
    bool is_complete = true;
    for (std::size_t i = 0; i < services_.size(); ++i) {
        in_force& now = in_force_[i];
        new_addresses news = addresses_of(settings.services[i], *now.settings, found);
        if (news.settings && !services_[i]->apply_addresses(news.settings)) {
            spdlog::debug("backend_move_waits service={} (busy)", services_[i]->name());
            is_complete = false;
            continue;
        }
        now.settings = news.settings ? news.settings : now.settings;
        for (const std::string& line : news.changed) {
            spdlog::warn("backend_moved service={} what=\"{}\"", services_[i]->name(), line);
        }
        if (news.unresolved != now.unresolved) {
            const auto text = fmt::format("{}", fmt::join(news.unresolved, "; "));
            spdlog::warn("backend_unresolved service={} what=\"{}\"", services_[i]->name(), text);
        }
        now.unresolved = std::move(news.unresolved);
    }
    return is_complete;
}

}  // namespace pgsluice::control
