#pragma once

#include "control/config/fields.hpp"

#include <vector>

/// Builders of rows whose values have no rules of their own, and the parts of the table of a
/// service; only the key tables include this.
namespace pgsluice::control {

inline constexpr bool reloadable = true;
inline constexpr bool at_start = false;

template <class Target, auto... Path>
config_key<Target> text_key(config_key<Target> key) {
    key.type = "text";
    key.set = set_text<Target, Path...>;
    key.show = show_text<Target, Path...>;
    key.copy = copy_field<Target, Path...>;
    return key;
}

template <class Target, auto... Path>
config_key<Target> duration_key(config_key<Target> key) {
    key.type = "duration";
    key.set = set_duration<Target, Path...>;
    key.show = show_duration<Target, Path...>;
    key.copy = copy_field<Target, Path...>;
    return key;
}

template <class Target, std::uint32_t Min, std::uint32_t Max, auto... Path>
config_key<Target> number_key(config_key<Target> key) {
    key.type = "whole number";
    key.set = set_number<Target, Min, Max, Path...>;
    key.show = show_number<Target, Path...>;
    key.copy = copy_field<Target, Path...>;
    return key;
}

template <class Target, class Choice, auto... Path>
config_key<Target> choice_key(config_key<Target> key) {
    key.set = set_choice<Target, Choice, Path...>;
    key.show = show_choice<Target, Choice, Path...>;
    key.copy = copy_field<Target, Path...>;
    return key;
}

/// The key `databases` of a service.
config_key<service_config> databases_key();
/// The keys `canary.NAME` of a service.
std::vector<config_key<service_config>> canary_keys();
/// The keys `console.NAME` of a service.
std::vector<config_key<service_config>> console_keys();
/// The keys `cutover.NAME` of a service.
std::vector<config_key<service_config>> cutover_keys();
/// How sessions log in at a backend.
std::vector<config_key<backend_config>> login_keys();
/// The keys `limits.NAME` of a service.
std::vector<config_key<service_config>> limit_keys();
/// The keys `checks.NAME` of a service, from the table of checks.
std::vector<config_key<service_config>> check_keys();

}  // namespace pgsluice::control
