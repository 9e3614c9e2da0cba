#pragma once

#include "control/base/duration.hpp"
#include "control/base/words.hpp"
#include "control/config/keys.hpp"

#include <array>
#include <charconv>
#include <limits>
#include <utility>

/// Builders of config_key rows, one for each type of value. `Path` is a chain of member pointers
/// from the target to the field, so that a row names its field once for both directions.
namespace pgsluice::control {

using problem = std::optional<std::string>;

template <auto... Path, class Target>
decltype(auto) field(Target& target) {
    return (target.*....*Path);
}

/// `"TEXT" is not WHAT, expected EXPECTED`.
inline std::string not_a(std::string_view text, std::string_view what, std::string_view expected) {
    return "\"" + std::string(text) + "\" is not " + std::string(what) + ", expected " +
           std::string(expected);
}

/// YAML's double-quoted style, which is JSON's; used for every free text.
std::string quoted(std::string_view text);

template <class Target, auto... Path>
void copy_field(Target& to, const Target& from) {
    field<Path...>(to) = field<Path...>(from);
}

template <class Target, auto... Path>
problem set_text(Target& target, std::string_view text) {
    if (text.find_first_of(std::string_view("\0\n", 2)) != std::string_view::npos) {
        return "the text has a line break or a zero byte, expected one line";
    }
    field<Path...>(target) = std::string(text);
    return std::nullopt;
}

template <class Target, auto... Path>
std::vector<std::string> show_text(const Target& target) {
    const std::string& text = field<Path...>(target);
    return text.empty() ? std::vector<std::string>{} : std::vector<std::string>{quoted(text)};
}

template <class Target, auto... Path>
problem set_duration(Target& target, std::string_view text) {
    const auto duration = parse_duration(text);
    if (!duration) {
        return duration.error().message;
    }
    field<Path...>(target) = *duration;
    return std::nullopt;
}

template <class Target, auto... Path>
std::vector<std::string> show_duration(const Target& target) {
    return {format_duration(field<Path...>(target))};
}

template <class Target, std::uint32_t Min, std::uint32_t Max, auto... Path>
problem set_number(Target& target, std::string_view text) {
    std::uint32_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size() || number < Min || number > Max) {
        const std::string range = std::to_string(Min) + " to " + std::to_string(Max);
        return not_a(text, "valid", "a whole number from " + range);
    }
    field<Path...>(target) = number;
    return std::nullopt;
}

template <class Target, auto... Path>
std::vector<std::string> show_number(const Target& target) {
    return {std::to_string(field<Path...>(target))};
}

/// The names of an enumeration's values, in the order of the values.
template <class Choice>
inline constexpr auto choice_names = nullptr;
template <>
inline constexpr std::array<std::string_view, 4> choice_names<log_level> = {
    "debug", "info", "warn", "error"};
template <>
inline constexpr std::array<std::string_view, 2> choice_names<log_format> = {"text", "json"};
template <>
inline constexpr std::array<std::string_view, 2> choice_names<proxy_protocol_mode> = {
    "off", "required"};
template <>
inline constexpr std::array<std::string_view, 5> choice_names<auth_method> = {
    "passthrough", "trust", "scram-sha-256", "md5", "peer"};
template <>
inline constexpr std::array<std::string_view, 6> choice_names<proxy::client_tls> = {
    "disable", "allow", "prefer", "require", "verify-ca", "verify-full"};
template <>
inline constexpr std::array<std::string_view, 5> choice_names<proxy::backend_tls> = {
    "disable", "prefer", "require", "verify-ca", "verify-full"};
template <>
inline constexpr std::array<std::string_view, 3> choice_names<protocol::channel_binding> = {
    "prefer", "require", "disable"};
template <>
inline constexpr std::array<std::string_view, 3> choice_names<protocol::proxy_version> = {
    "off", "v1", "v2"};
template <>
inline constexpr std::array<std::string_view, 3> choice_names<replication_kind> = {
    "none", "physical", "logical"};
template <>
inline constexpr std::array<std::string_view, 5> choice_names<fence_method> = {
    "none", "default_read_only", "lock_tables", "revoke_connect", "command"};
template <>
inline constexpr std::array<std::string_view, 2> choice_names<reverse_mode> = {"off", "on"};
template <>
inline constexpr std::array<std::string_view, 3> choice_names<pinned_policy> = {
    "abort", "terminate", "wait"};
template <>
inline constexpr std::array<std::string_view, 3> choice_names<proxy::address_shown> = {
    "off", "application_name", "setting"};
template <>
inline constexpr std::array<std::string_view, 2> choice_names<currval_policy> = {
    "called", "defined"};
template <>
inline constexpr std::array<std::string_view, 2> choice_names<first_access> = {
    "read-write", "read-only"};
template <>
inline constexpr std::array<std::string_view, 2> choice_names<canary_access> = {
    "read-only", "read-write"};
template <>
inline constexpr std::array<std::string_view, 2> choice_names<later_access> = {
    "unchanged", "read-only"};

template <class Target, class Choice, auto... Path>
problem set_choice(Target& target, std::string_view text) {
    constexpr auto& names = choice_names<Choice>;
    for (std::size_t i = 0; i < names.size(); ++i) {
        if (names[i] == text) {
            field<Path...>(target) = static_cast<Choice>(i);
            return std::nullopt;
        }
    }
    return not_a(text, "valid", one_of(names)) + did_you_mean(text, names);
}

template <class Target, class Choice, auto... Path>
std::vector<std::string> show_choice(const Target& target) {
    return {std::string(choice_names<Choice>[static_cast<std::size_t>(field<Path...>(target))])};
}

}  // namespace pgsluice::control
