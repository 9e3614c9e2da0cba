#pragma once

#include "control/base/words.hpp"
#include "control/config/keys.hpp"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>

/// Reading one table's keys out of YAML mappings; included by config_yaml.cpp and config_backend
/// only, so that nothing else sees yaml-cpp.
namespace pgsluice::control {

/// Where a value or key stands; 1-based.
struct place {
    int line = 1;
    int column = 1;
};

inline place place_of(const YAML::Mark& mark) {
    return {mark.line + 1, mark.column + 1};
}

/// Where `node` stands; `fallback` when yaml-cpp does not know.
inline place place_of(const YAML::Node& node, place fallback) {
    return node.Mark().is_null() ? fallback : place_of(node.Mark());
}

/// What a value is, for "X is ..., expected ...".
inline std::string kind_of(const YAML::Node& node) {
    return node.IsMap()        ? "a mapping"
           : node.IsSequence() ? "a list"
           : node.IsScalar()   ? "\"" + node.Scalar() + "\""
                               : "nothing";
}

/// `PATH.NAME`, or NAME where the path is empty.
inline std::string joined(std::string_view path, std::string_view name) {
    if (path.empty() || name.empty()) {
        return std::string(path.empty() ? name : path);
    }
    return std::string(path) + "." + std::string(name);
}

using problem_list = std::vector<config_problem>;

/// The mapping tree that the dotted names of one table describe, read into one target. References
/// must outlive the section.
template <class Target>
class section {
public:
    /// `shown` is the section's path for messages; `nested` a name at its root that somebody else
    /// reads.
    section(
        Target& target,
        std::span<const config_key<Target>> keys,
        std::string shown,
        std::string_view nested,
        problem_list& errors
    )
        : target_(target), keys_(keys), shown_(std::move(shown)), nested_(nested), errors_(errors) {
    }

    /// Applies every key of `map` to the target. Returns the value of the nested key, undefined
    /// where there is none.
    YAML::Node read(const YAML::Node& map) { return read_mapping(map, ""); }

    /// Takes elements of lists that are mappings; false where none may stand.
    std::function<bool(std::string_view list, const YAML::Node& element, place where)> on_mapping =
        [](std::string_view, const YAML::Node&, place) {
            return false;
        };

    bool has(std::string_view key) const { return places_.find(key) != places_.end(); }
    /// Where `key` was given; it must have been.
    place at(std::string_view key) const { return places_.find(key)->second; }
    const std::string& shown() const { return shown_; }
    void error(place where, std::string text) {
        errors_.push_back({where.line, where.column, std::move(text)});
    }
    /// Reports at `where` that `key` is missing.
    void require(std::string_view key, place where) {
        if (!has(key)) {
            error(where, shown_ + " has no \"" + std::string(key) + "\", expected one");
        }
    }

private:
    YAML::Node read_mapping(const YAML::Node& map, const std::string& below);
    void read_entry(const std::string& name, const YAML::Node& value, place where);
    void read_value(const config_key<Target>& key, const YAML::Node& value);
    void unknown_key(const std::string& below, std::string_view name, place where);
    std::vector<std::string_view> names_below(const std::string& below) const;
    std::string inside(const std::string& below) const {
        const std::string path = joined(shown_, below);
        return path.empty() ? path : " in " + path;
    }

    Target& target_;
    std::span<const config_key<Target>> keys_;
    std::string shown_;
    std::string_view nested_;
    problem_list& errors_;
    std::map<std::string, place, std::less<>> places_;
};

/// The names that may stand in the mapping `below`.
template <class Target>
std::vector<std::string_view> section<Target>::names_below(const std::string& below) const {
    std::vector<std::string_view> names;
    const std::string prefix = below.empty() ? "" : below + ".";
    for (const auto& key : keys_) {
        if (key.name.starts_with(prefix)) {
            const std::string_view rest = key.name.substr(prefix.size());
            const std::string_view name = rest.substr(0, rest.find('.'));
            if (std::find(names.begin(), names.end(), name) == names.end()) {
                names.push_back(name);
            }
        }
    }
    if (below.empty() && !nested_.empty()) {
        names.push_back(nested_);
    }
    return names;
}

template <class Target>
void section<Target>::unknown_key(const std::string& below, std::string_view name, place where) {
    const auto names = names_below(below);
    std::string hint = did_you_mean(name, names);
    for (const auto& key : keys_) {
        if (key.name.substr(key.name.rfind('.') + 1) == name) {
            hint = "; did you mean \"" + joined(shown_, key.name) + "\"?";
        }
    }
    error(
        where,
        "unknown key \"" + std::string(name) + "\"" + inside(below) + ", expected " +
            one_of(names) + hint
    );
}

template <class Target>
void section<Target>::read_value(const config_key<Target>& key, const YAML::Node& value) {
    const std::string path = joined(shown_, key.name);
    if (!(key.is_list ? value.IsSequence() : value.IsScalar())) {
        error(
            at(key.name),
            path + " is " + kind_of(value) + ", expected a value of type: " + std::string(key.type)
        );
        return;
    }
    if (!key.is_list) {
        if (auto wrong = key.set(target_, value.Scalar())) {
            error(at(key.name), path + ": " + *wrong);
        }
        return;
    }
    if (value.size() == 0) {
        error(at(key.name), path + " is empty, expected a value of type: " + std::string(key.type));
    }
    for (const YAML::Node& element : value) {
        const place where = place_of(element, at(key.name));
        if (element.IsMap() && on_mapping(key.name, element, where)) {
            continue;
        }
        if (!element.IsScalar()) {
            error(where, path + " holds " + kind_of(element) + ", expected single values");
        } else if (auto wrong = key.set(target_, element.Scalar())) {
            error(where, path + ": " + *wrong);
        }
    }
}

/// One known name: a key of the table or a mapping of further keys.
template <class Target>
void section<Target>::read_entry(const std::string& name, const YAML::Node& value, place where) {
    for (const auto& key : keys_) {
        if (key.name == name) {
            places_[name] = place_of(value, where);
            read_value(key, value);
            return;
        }
    }
    if (value.IsNull()) {
        return;  // a group whose keys are all commented out
    }
    if (!value.IsMap()) {
        error(
            place_of(value, where),
            joined(shown_, name) + " is " + kind_of(value) + ", expected a mapping of " +
                one_of(names_below(name))
        );
        return;
    }
    read_mapping(value, name);
}

template <class Target>
YAML::Node section<Target>::read_mapping(const YAML::Node& map, const std::string& below) {
    const auto names = names_below(below);
    YAML::Node nested(YAML::NodeType::Undefined);
    std::set<std::string, std::less<>> seen;
    for (const auto& entry : map) {
        const place where = place_of(entry.first, place{});
        if (!entry.first.IsScalar()) {
            error(where, "a key is " + kind_of(entry.first) + ", expected " + one_of(names));
            continue;
        }
        const std::string& name = entry.first.Scalar();
        if (!seen.insert(name).second) {
            error(
                where,
                "key \"" + name + "\" is given twice" + inside(below) + ", expected each key once"
            );
        } else if (std::find(names.begin(), names.end(), name) == names.end()) {
            unknown_key(below, name, where);
        } else if (below.empty() && name == nested_) {
            places_[name] = where;
            nested.reset(entry.second);
        } else {
            read_entry(joined(below, name), entry.second, where);
        }
    }
    return nested;
}

}  // namespace pgsluice::control
