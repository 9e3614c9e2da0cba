// The key tables printed: the effective configuration, the reference, and what a reload changes.
#include "control/config_keys.hpp"
#include "control/config_values.hpp"

namespace pgsluice::control {
namespace {

/// Writes dotted keys as nested YAML mappings, opening a mapping when its first key comes.
class yaml_printer {
public:
    explicit yaml_printer(std::string& out, std::size_t depth) : out_(out), depth_(depth) {}

    template <class Target>
    void keys(std::span<const config_key<Target>> table, const Target& target) {
        for (const auto& key : table) {
            const std::size_t dot = key.name.find('.');
            const bool is_nested = dot != std::string_view::npos;
            open(is_nested ? key.name.substr(0, dot) : std::string_view());
            line(
                depth_ + (is_nested ? 1 : 0),
                is_nested ? key.name.substr(dot + 1) : key.name,
                key.show(target),
                key.is_list
            );
        }
    }

private:
    void open(std::string_view mapping) {
        if (mapping != open_ && !mapping.empty()) {
            out_.append(depth_ * 2, ' ').append(mapping).append(":\n");
        }
        open_ = mapping;
    }

    void line(
        std::size_t depth,
        std::string_view name,
        const std::vector<std::string>& values,
        bool is_list
    ) {
        out_.append(depth * 2, ' ');
        if (values.empty()) {
            out_.append("# ").append(name).append(": (not set)\n");
            return;
        }
        std::string text;
        for (const std::string& value : values) {
            text += text.empty() ? value : ", " + value;
        }
        out_.append(name).append(": ").append(is_list ? "[" + text + "]" : text).append("\n");
    }

    std::string& out_;
    std::size_t depth_;
    std::string_view open_;
};

template <class Target>
void reference_table(
    std::string& out, std::string_view prefix, std::span<const config_key<Target>> keys
) {
    out += "| key | type | default | reload | what it does |\n|---|---|---|---|---|\n";
    for (const auto& key : keys) {
        std::string type(key.type);
        for (std::size_t at = type.find(" | "); at != std::string::npos;
             at = type.find(" | ", at)) {
            type.replace(at, 3, ", ");
        }
        out += "| `" + std::string(prefix) + std::string(key.name) + "` | " + type +
               (key.unit.empty() ? "" : " (" + std::string(key.unit) + ")") + " | " +
               (key.initial.empty() ? "" : "`" + std::string(key.initial) + "`") + " | " +
               (key.is_reloadable ? "yes" : "restart") + " | " + std::string(key.doc) + " |\n";
    }
}

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

}  // namespace

std::string print_config(const config& value) {
    std::string out;
    yaml_printer(out, 0).keys(global_keys(), value);
    out += "services:\n";
    for (const service_config& service : value.services) {
        out += "  " + quoted(service.name) + ":\n";
        out += "    backends:\n";
        for (const backend_config& backend : service.backends) {
            out += "      " + quoted(backend.name) + ":\n";
            yaml_printer(out, 4).keys(backend_keys(), backend);
        }
        yaml_printer(out, 2).keys(service_keys(), service);
    }
    return out;
}

std::string config_reference() {
    std::string out = "# Configuration reference\n\n"
                      "Generated by `pgsluice --print-reference`; a test compares. Durations are "
                      "whole numbers with a unit: `250ms`, `10s`, `5m`. Unknown keys are errors.\n"
                      "`reload` says whether SIGHUP or `sluicectl reload` applies a change.\n\n"
                      "## The daemon\n\n";
    reference_table(out, "", global_keys());
    out += "\n## Each service\n\n";
    reference_table(out, "services.NAME.", service_keys());
    out +=
        "\n## Each backend\n\nAdding a backend is reloadable, changing or removing one is not.\n\n";
    reference_table(out, "services.NAME.backends.NAME.", backend_keys());
    return out;
}

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

}  // namespace pgsluice::control
