// Old image against new image. Lists are compared as sets by key; what is on one side only, or
// unequal, becomes one line for an operator.

#include "proxy/image/image_compare.hpp"

#include "proxy/image/sql_prepare.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>

namespace pgsluice::proxy {

namespace {

/// What a session set itself, placeholder or not, and where it shows.
struct session_value {
    std::string_view value;
    bool is_registered = false;
};

using values = std::map<std::string_view, session_value>;

bool is_ignored(std::string_view name, const comparison_options& options) {
    return std::ranges::find(options.ignored_settings, name) != options.ignored_settings.end();
}

/// Libraries that the server loads by itself at first use. Until then their settings are
/// placeholders, which the library adopts: no difference that anybody could see.
bool is_loaded_on_demand(std::string_view name) {
    return name.starts_with("plpgsql.");
}

values session_values(const session_image& image, const comparison_options& options) {
    values all;
    for (const auto& s : image.settings) {
        if (s.is_session() && !is_ignored(s.name, options))
            all.try_emplace(s.name, session_value{s.value, true});
    }
    for (const auto& c : image.custom_settings) {
        if (!is_ignored(c.name, options))
            all.try_emplace(c.name, session_value{c.value, false});
    }
    return all;
}

std::string shown(std::string_view value) {
    return fmt::format("'{}'", value);
}

void compare_session_values(const values& was, const values& is, comparison& result) {
    for (const auto& [name, old_value] : was) {
        const auto found = is.find(name);
        const std::string label = "setting " + std::string(name);
        if (found == is.end()) {
            result.differences.push_back(label + " is not set on the new server");
            continue;
        }
        const auto& new_value = found->second;
        if (old_value.value != new_value.value)
            result.differences.push_back(
                label + " is " + shown(old_value.value) + " on the old server and " +
                shown(new_value.value) + " on the new one"
            );
        else if (old_value.is_registered && !new_value.is_registered && !is_loaded_on_demand(name))
            result.differences.push_back(
                label + " belongs to a library that the new server has not loaded"
            );
    }
    for (const auto& [name, value] : is) {
        if (!was.contains(name))
            result.differences.push_back(
                "setting " + std::string(name) + " is set on the new server only"
            );
    }
}

const setting* find_setting(const session_image& image, std::string_view name) {
    const auto found = std::ranges::find(image.settings, name, &setting::name);
    return found == image.settings.end() ? nullptr : &*found;
}

/// Values that came with the login: startup parameters must agree, defaults from the servers'
/// catalogs are the operator's to know about.
void compare_login_values(
    const session_image& from,
    const session_image& to,
    std::string_view side,
    const comparison_options& options,
    comparison& result
) {
    for (const auto& s : from.settings) {
        if (is_ignored(s.name, options) || is_loaded_on_demand(s.name))
            continue;
        const auto* other = find_setting(to, s.name);
        if (s.is_session() || (other != nullptr && other->is_session())) {
            if (other != nullptr && side == "old" && s.reset_value != other->reset_value)
                result.warnings.push_back(
                    "RESET " + s.name + " leads to " + shown(s.reset_value) +
                    " on the old server and " + shown(other->reset_value) + " on the new one"
                );
            continue;
        }
        if (other != nullptr && other->value == s.value)
            continue;
        if (other != nullptr && side == "new")
            continue;  // said already
        const std::string text = "setting " + s.name + " is " + shown(s.value) + " (" + s.source +
                                 ") on the " + std::string(side) + " server and " +
                                 (other == nullptr ? "at its default" : shown(other->value)) +
                                 " on the other";
        const bool is_startup = s.source == "client";
        (is_startup ? result.differences : result.warnings).push_back(text);
    }
}

std::string type_name(const session_image& image, std::uint32_t oid) {
    if (oid < first_unstable_oid)
        return std::to_string(oid);
    const auto found = std::ranges::find(image.types, oid, &user_type::oid);
    if (found == image.types.end())
        return "missing type " + std::to_string(oid);
    return found->schema + "." + found->name;
}

/// A PREPARE that came among other statements was replayed alone.
std::string_view own_text(const prepared_statement& statement) {
    if (!statement.is_from_sql)
        return statement.text;
    const auto cut = cut_prepare({statement.name, statement.text});
    return cut ? *cut : std::string_view(statement.text);
}

bool is_same_statement(
    const session_image& old_image,
    const prepared_statement& was,
    const session_image& new_image,
    const prepared_statement& is
) {
    return was.is_from_sql == is.is_from_sql &&
           (was.text == is.text || own_text(was) == own_text(is)) &&
           std::ranges::equal(
               was.parameter_types,
               is.parameter_types,
               [&](std::uint32_t old_oid, std::uint32_t new_oid) {
                   return type_name(old_image, old_oid) == type_name(new_image, new_oid);
               }
           );
}

void compare_statements(const session_image& was, const session_image& is, comparison& result) {
    for (const auto& statement : was.statements) {
        const auto found =
            std::ranges::find(is.statements, statement.name, &prepared_statement::name);
        const std::string label = "prepared statement \"" + statement.name + "\"";
        if (found == is.statements.end())
            result.differences.push_back(label + " is missing on the new server");
        else if (!is_same_statement(was, statement, is, *found))
            result.differences.push_back(label + " has another text or other parameter types");
    }
    for (const auto& statement : is.statements) {
        if (std::ranges::find(was.statements, statement.name, &prepared_statement::name) ==
            was.statements.end())
            result.differences.push_back(
                "prepared statement \"" + statement.name + "\" is on the new server only"
            );
    }
}

void compare_text(
    std::string_view what, std::string_view was, std::string_view is, comparison& result
) {
    if (was != is)
        result.differences.push_back(
            std::string(what) + " is " + shown(was) + " on the old server and " + shown(is) +
            " on the new one"
        );
}

std::string lock_label(const advisory_lock& lock) {
    return "advisory lock (" + lock.key + (lock.is_shared ? ", shared)" : ")");
}

template <class T, class Label>
void compare_sets(
    const std::vector<T>& was, const std::vector<T>& is, Label label, comparison& result
) {
    for (const auto& element : was) {
        if (std::ranges::find(is, element) == is.end())
            result.differences.push_back(label(element) + " is missing on the new server");
    }
    for (const auto& element : is) {
        if (std::ranges::find(was, element) == was.end())
            result.differences.push_back(label(element) + " is on the new server only");
    }
}

}  // namespace

comparison same_state(
    const session_image& old_image,
    const session_image& new_image,
    const comparison_options& options
) {
    comparison result;
    compare_text(
        "database encoding", old_image.database_encoding, new_image.database_encoding, result
    );
    compare_text("client_encoding", old_image.client_encoding, new_image.client_encoding, result);
    compare_text("session_user", old_image.session_user, new_image.session_user, result);
    compare_text("current_user", old_image.current_user, new_image.current_user, result);
    compare_text("role", old_image.role, new_image.role, result);
    compare_session_values(
        session_values(old_image, options), session_values(new_image, options), result
    );
    compare_login_values(old_image, new_image, "old", options, result);
    compare_login_values(new_image, old_image, "new", options, result);
    compare_statements(old_image, new_image, result);
    if (!options.ignores_channels)
        compare_sets(
            old_image.channels,
            new_image.channels,
            [](const std::string& name) { return "LISTEN \"" + name + "\""; },
            result
        );
    compare_sets(old_image.locks, new_image.locks, lock_label, result);
    if (new_image.has_temp_objects || !new_image.hold_cursors.empty())
        result.differences.emplace_back("the new server's session has objects of its own");
    return result;
}

std::vector<std::string> capture_names(const session_image& old_image) {
    std::vector<std::string> names;
    for (const auto& custom : old_image.custom_settings)
        names.push_back(custom.name);
    for (const auto& s : old_image.settings) {
        if (s.is_session() && s.name.find('.') != std::string::npos)
            names.push_back(s.name);
    }
    return names;
}

}  // namespace pgsluice::proxy
