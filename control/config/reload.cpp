// What a reload changes, and what of it takes effect without a restart; decided by the key tables.
#include "control/config/keys.hpp"

namespace pgsluice::control {
namespace {

std::string shown(const std::vector<std::string>& values) {
    std::string text;
    for (const std::string& value : values) {
        text += text.empty() ? value : ", " + value;
    }
    return text;
}

template <class Target>
void compare(
    std::vector<config_change>& changes,
    std::string_view prefix,
    std::span<const config_key<Target>> keys,
    std::pair<const Target&, const Target&> values
) {
    for (const auto& key : keys) {
        std::string before = shown(key.show(values.first));
        std::string after = shown(key.show(values.second));
        if (before != after) {
            changes.push_back(
                {std::string(prefix) + std::string(key.name),
                 std::move(before),
                 std::move(after),
                 !key.is_reloadable}
            );
        }
    }
}

void compare_backends(
    std::vector<config_change>& changes, const service_config& before, const service_config& after
) {
    const std::string prefix = "services." + before.name + ".backends.";
    for (const backend_config& backend : before.backends) {
        const backend_config* kept = after.find_backend(backend.name);
        if (kept == nullptr) {
            changes.push_back({prefix + backend.name, backend.address.text(), "", true});
            continue;
        }
        compare<backend_config>(
            changes, prefix + backend.name + ".", backend_keys(), {backend, *kept}
        );
    }
    for (const backend_config& backend : after.backends) {
        if (before.find_backend(backend.name) == nullptr) {
            changes.push_back({prefix + backend.name, "", backend.address.text(), false});
        }
    }
}

template <class Target>
void copy_reloadable(std::span<const config_key<Target>> keys, Target& to, const Target& from) {
    for (const auto& key : keys) {
        if (key.is_reloadable) {
            key.copy(to, from);
        }
    }
}

}  // namespace

std::vector<config_change> config_changes(const config& before, const config& after) {
    std::vector<config_change> changes;
    compare<config>(changes, "", global_keys(), {before, after});
    for (const service_config& service : before.services) {
        const service_config* kept = after.find_service(service.name);
        if (kept == nullptr) {
            changes.push_back({"services." + service.name, "present", "", true});
            continue;
        }
        compare<service_config>(
            changes, "services." + service.name + ".", service_keys(), {service, *kept}
        );
        compare_backends(changes, service, *kept);
    }
    for (const service_config& service : after.services) {
        if (before.find_service(service.name) == nullptr) {
            changes.push_back({"services." + service.name, "", "present", true});
        }
    }
    return changes;
}

config reloaded(const config& running, const config& wanted) {
    config merged = running;
    copy_reloadable(global_keys(), merged, wanted);
    for (service_config& service : merged.services) {
        const service_config* from = wanted.find_service(service.name);
        if (from == nullptr) {
            continue;
        }
        copy_reloadable(service_keys(), service, *from);
        for (const backend_config& backend : from->backends) {
            if (service.find_backend(backend.name) == nullptr) {
                service.backends.push_back(backend);
            }
        }
    }
    return merged;
}

}  // namespace pgsluice::control
