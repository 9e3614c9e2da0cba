#pragma once

#include "control/config/config.hpp"

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::control {

/// One key of the configuration. The tables below are the only place where a key is declared: they
/// drive parsing, --print-config, the reload diff and configs/reference.md.
template <class Target>
struct config_key {
    std::string_view name;       ///< dotted, relative to the target: `hold.timeout`
    std::string_view type = {};  ///< for the reference: `duration`, `whole number`, `a | b`, ...
    std::string_view unit = {};  ///< what is counted; empty when the type says it
    std::string_view initial =
        {};  ///< the default, as YAML; empty = none, `required` = must be given
    bool is_reloadable = false;
    bool is_list = false;  ///< a YAML sequence; set() is called for each element
    std::string_view doc = {};
    bool is_secret = false;  ///< may hold a password: hidden from the console

    /// Takes one scalar. Returns what is wrong and what was expected, or nothing.
    std::optional<std::string> (*set)(Target&, std::string_view) = nullptr;
    /// The current value as YAML scalars (one, or each element of a list; none when unset).
    std::vector<std::string> (*show)(const Target&) = nullptr;
    /// Copies the value; needed by reloadable keys only.
    void (*copy)(Target& to, const Target& from) = nullptr;
};

/// Keys outside of services.
std::span<const config_key<config>> global_keys();
/// Keys of `services.NAME`.
std::span<const config_key<service_config>> service_keys();
/// Keys of an element of `services.NAME.listen` that is a mapping.
std::span<const config_key<listen_config>> listen_keys();
/// Keys of `services.NAME.backends.NAME`.
std::span<const config_key<backend_config>> backend_keys();

/// True for a name of a service or backend: letters, digits, `_` and `-`, at most 63 bytes.
bool is_valid_name(std::string_view name);

}  // namespace pgsluice::control
