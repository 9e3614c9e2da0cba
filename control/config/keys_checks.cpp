// The keys `checks.NAME`, one for each row of the table of checks.
#include "control/config/check_names.hpp"
#include "control/config/rows.hpp"

#include <list>

namespace pgsluice::control {

namespace {

using service = service_config;

constexpr std::array<std::string_view, 3> level_names = {"error", "warn", "off"};
constexpr std::array<check_level, 3> levels = {
    check_level::error, check_level::warning, check_level::off};

std::string_view word_of(check_level level) {
    return level == check_level::error ? "error" : level == check_level::off ? "off" : "warn";
}

template <std::size_t Row>
problem set_level(service& target, std::string_view text) {
    constexpr check_name row = check_names[Row];
    for (std::size_t i = 0; i < level_names.size(); ++i) {
        if (level_names[i] == text) {
            target.checks.erase(std::string(row.name));
            if (levels[i] != row.level) {
                target.checks.emplace(row.name, levels[i]);
            }
            return std::nullopt;
        }
    }
    return not_a(text, "valid", one_of(level_names)) + did_you_mean(text, level_names);
}

template <std::size_t Row>
std::vector<std::string> show_level(const service& target) {
    constexpr check_name row = check_names[Row];
    const auto chosen = target.checks.find(row.name);
    return {std::string(word_of(chosen == target.checks.end() ? row.level : chosen->second))};
}

template <std::size_t Row>
void copy_level(service& to, const service& from) {
    const std::string name(check_names[Row].name);
    to.checks.erase(name);
    if (const auto chosen = from.checks.find(name); chosen != from.checks.end()) {
        to.checks.insert(*chosen);
    }
}

template <std::size_t... Rows>
std::vector<config_key<service>> make_keys(std::index_sequence<Rows...>) {
    static std::list<std::string> names;
    return {config_key<service>{
        .name = names.emplace_back("checks." + std::string(check_names[Rows].name)),
        .type = "error | warn | off",
        .initial = word_of(check_names[Rows].level),
        .is_reloadable = true,
        .doc = "How serious a finding of this check is; see docs/guardrails.md.",
        .set = set_level<Rows>,
        .show = show_level<Rows>,
        .copy = copy_level<Rows>}...};
}

}  // namespace

std::vector<config_key<service_config>> check_keys() {
    return make_keys(std::make_index_sequence<checks_count>());
}

}  // namespace pgsluice::control
