// The keys of a guard, and the rules between them.
#include "control/stages/guard_keys.hpp"

#include "control/config/fields.hpp"
#include "control/config/resolve.hpp"

#include <array>
#include <cmath>
#include <sstream>

namespace pgsluice::control {
namespace {

using guard = guard_config;

constexpr std::size_t guards_max = 100;

constexpr std::array<std::string_view, guard_kinds> kind_names{
    "errors", "latency", "held", "backend_connections", "sql", "command"};

problem read_real(std::string_view text, double least, std::optional<double>& into) {
    double number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const bool is_number = error == std::errc{} && end == text.data() + text.size();
    if (!is_number || !std::isfinite(number) || number < least) {
        const bool is_any = least == std::numeric_limits<double>::lowest();
        std::ostringstream bound;
        bound << "a number" << (is_any ? "" : " from ");
        if (!is_any) {
            bound << least << " on";
        }
        return not_a(text, "valid", bound.str());
    }
    into = number;
    return std::nullopt;
}

problem set_any_max(guard& target, std::string_view text) {
    return read_real(text, std::numeric_limits<double>::lowest(), target.max);
}
problem set_any_min(guard& target, std::string_view text) {
    return read_real(text, std::numeric_limits<double>::lowest(), target.min);
}
problem set_count(guard& target, std::string_view text) {
    if (text.find('.') != std::string_view::npos) {
        return not_a(text, "valid", "a whole number");
    }
    return read_real(text, 0, target.max);
}
problem set_factor(guard& target, std::string_view text) {
    return read_real(text, 1, target.factor);
}

problem set_share(guard& target, std::string_view text) {
    const bool has_sign = text.ends_with('%');
    const auto wrong = read_real(text.substr(0, text.size() - (has_sign ? 1 : 0)), 0, target.max);
    if (wrong || *target.max > 100) {
        return not_a(text, "valid", "a share from 0% to 100%");
    }
    return std::nullopt;
}

problem set_quantile(guard& target, std::string_view text) {
    std::optional<double> percent;
    if (read_real(text, 0, percent) || *percent <= 0 || *percent >= 100) {
        return not_a(text, "valid", "a percentage between 0 and 100, as 99 or 99.9");
    }
    target.quantile = *percent;
    return std::nullopt;
}

problem set_latency(guard& target, std::string_view text) {
    const auto span = parse_duration(text);
    if (!span) {
        return span.error().message;
    }
    target.max = static_cast<double>(span->count());
    return std::nullopt;
}

problem add_class(guard& target, std::string_view text) {
    const bool is_class = text.size() == 2 && std::all_of(text.begin(), text.end(), [](char c) {
                              return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z');
                          });
    if (!is_class) {
        return not_a(text, "a class of SQLSTATEs", "two digits or capitals, as \"53\" or XX");
    }
    target.classes.emplace_back(text);
    return std::nullopt;
}

problem set_policy(guard& target, std::string_view text) {
    constexpr std::array<std::string_view, 2> names{"hold", "fall_back"};
    for (std::size_t i = 0; i < names.size(); ++i) {
        if (names[i] == text) {
            target.on_fail = static_cast<guard_policy>(i);
            return std::nullopt;
        }
    }
    return not_a(text, "valid", one_of(names)) + did_you_mean(text, names);
}

problem set_command(guard& target, std::string_view text) {
    return text.empty() ? problem("it is empty, expected a command for /bin/sh")
                        : set_text<guard, &guard::text>(target, text);
}

problem set_query(guard& target, std::string_view text) {
    if (text.empty() || text.find('\0') != std::string_view::npos) {
        return "it is empty or holds a zero byte, expected a statement";
    }
    target.text = text;
    return std::nullopt;
}

template <auto Field>
problem set_span(guard& target, std::string_view text) {
    auto wrong = set_duration<guard, Field>(target, text);
    if (!wrong && target.*Field == std::chrono::milliseconds::zero()) {
        wrong = "\"" + std::string(text) + "\" is no time at all, expected more than 0ms";
    }
    return wrong;
}

std::span<const config_key<guard>> guard_keys() {
    static const std::vector<config_key<guard>> keys{
        row<guard>("name", "text", set_text<guard, &guard::name>),
        row<guard>("on_fail", "hold | fall_back", set_policy),
        list<guard>("errors.classes", "list of SQLSTATE classes", add_class),
        row<guard>("errors.max", "percentage", set_share),
        row<guard>("latency.quantile", "percentage", set_quantile),
        row<guard>("latency.max", "duration", set_latency),
        row<guard>("latency.factor", "number", set_factor),
        row<guard>("latency.baseline", "duration", set_span<&guard::baseline>),
        row<guard>("held.max", "whole number", set_count),
        row<guard>("backend_connections.max", "whole number", set_count),
        row<guard>("sql.query", "text", set_query),
        row<guard>("sql.backend", "name of a backend", set_text<guard, &guard::backend>),
        row<guard>("sql.max", "number", set_any_max),
        row<guard>("sql.min", "number", set_any_min),
        row<guard>("command.run", "text", set_command),
        row<guard>("over", "duration", set_span<&guard::over>),
        row<guard>("at_least", "whole number", set_number<guard, 1, 1'000'000, &guard::at_least>),
        row<guard>("every", "duration", set_span<&guard::every>),
        row<guard>("timeout", "duration", set_span<&guard::timeout>),
    };
    return keys;
}

/// The one thing that it looks at.
std::optional<guard_kind> kind_of_guard(section<guard>& s, place at) {
    std::optional<guard_kind> kind;
    for (const auto& key : guard_keys()) {
        const std::size_t dot = key.name.find('.');
        if (dot == std::string_view::npos || !s.has(key.name)) {
            continue;
        }
        const auto* const name =
            std::find(kind_names.begin(), kind_names.end(), key.name.substr(0, dot));
        const auto found = static_cast<guard_kind>(name - kind_names.begin());
        if (kind && *kind != found) {
            s.error(
                s.at(key.name),
                s.shown() + " looks at " + std::string(to_string(*kind)) + " and " +
                    std::string(to_string(found)) + ", expected one of them in each guard"
            );
            return std::nullopt;
        }
        kind = found;
    }
    if (!kind) {
        s.error(at, s.shown() + " looks at nothing, expected " + one_of(kind_names));
    }
    return kind;
}

void without_effect(section<guard>& s, std::string_view key, bool has_effect) {
    if (!has_effect && s.has(key)) {
        s.error(
            s.at(key), s.shown() + "." + std::string(key) + " has no effect on this kind of guard"
        );
    }
}

void check_sql(const guard& read, const service_config& service, section<guard>& s, place at) {
    s.require("sql.query", at);
    if (!s.has("sql.query")) {
        return;
    }
    if (service.admin == admin_config{}) {
        s.error(
            s.at("sql.query"),
            s.shown() + ".sql needs a login, expected services." + service.name +
                ".admin in the configuration"
        );
    }
    if (!read.backend.empty() && service.find_backend(read.backend) == nullptr) {
        s.error(
            s.at("sql.backend"),
            s.shown() + ".sql.backend: " + no_such_backend(service, read.backend).message
        );
    }
    if (read.min && read.max && *read.min > *read.max) {
        s.error(s.at("sql.min"), s.shown() + ".sql.min is above max, expected it below");
    }
}

void check_guard(const guard& read, const service_config& service, section<guard>& s, place at) {
    without_effect(s, "over", read.counts_answers());
    without_effect(s, "at_least", read.counts_answers());
    without_effect(s, "every", read.is_probe());
    without_effect(s, "timeout", read.is_probe());
    switch (read.kind) {
    case guard_kind::errors:
        s.require("errors.max", at);
        break;
    case guard_kind::latency:
        if (s.has("latency.max") == s.has("latency.factor")) {
            s.error(
                at,
                s.shown() + ".latency has " + (s.has("latency.max") ? "both" : "neither of") +
                    " \"max\" and \"factor\", expected one of them"
            );
        } else if (s.has("latency.baseline") && !s.has("latency.factor")) {
            s.error(
                s.at("latency.baseline"),
                s.shown() + ".latency.baseline has no effect, expected \"factor\" with it"
            );
        }
        break;
    case guard_kind::held:
        s.require("held.max", at);
        break;
    case guard_kind::backend_connections:
        s.require("backend_connections.max", at);
        break;
    case guard_kind::sql:
        check_sql(read, service, s, at);
        break;
    case guard_kind::command:
        break;
    }
}

}  // namespace

std::string_view to_string(guard_kind kind) noexcept {
    return kind_names[static_cast<std::size_t>(kind)];
}

void read_guard(
    const YAML::Node& node,
    place at,
    const service_config& service,
    std::vector<guard_config>& into,
    problem_list& errors
) {
    if (into.size() == guards_max) {
        errors.push_back({at.line, at.column, "too many guards, expected at most 100"});
        return;
    }
    guard read;
    section<guard> s(read, guard_keys(), "a guard", "", errors);
    s.read(node);
    if (const auto kind = kind_of_guard(s, at)) {
        read.kind = *kind;
        check_guard(read, service, s, at);
        into.push_back(std::move(read));
    }
}

}  // namespace pgsluice::control
