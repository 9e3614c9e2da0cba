// A file of stages: small key tables, read as the configuration is, and the rules between their
// keys; those of guards are in guard_keys.cpp.
#include "control/stages/plan.hpp"

#include "control/config/fields.hpp"
#include "control/stages/guard_keys.hpp"

#include <algorithm>
#include <fstream>
#include <sstream>

namespace pgsluice::control {
namespace {

using stage = stage_config;
using plan = stages_plan;

constexpr std::size_t stages_max = 1000;

template <class Target>
problem set_dwell(Target& target, std::string_view text) {
    const auto span = parse_duration(text);
    if (!span) {
        return span.error().message;
    }
    target.dwell = *span;
    return std::nullopt;
}

problem add_range(stage& target, std::string_view text) {
    const std::vector<std::string> token{std::string(text)};
    if (const auto set = proxy::address_set::parse(token); !set) {
        return set.error().message;
    }
    target.tokens.emplace_back(text);
    return std::nullopt;
}

template <class Target>
problem only_mappings(Target&, std::string_view text) {
    return not_a(text, "valid", "a mapping of keys");
}

std::span<const config_key<stage>> stage_keys() {
    static const std::vector<config_key<stage>> keys{
        list<stage>("admit", "list of ranges", add_range),
        row<stage>("dwell", "duration", set_dwell<stage>),
        list<stage>("guards", "list of mappings", only_mappings<stage>),
    };
    return keys;
}

std::span<const config_key<plan>> plan_keys() {
    static const std::vector<config_key<plan>> keys{
        list<plan>("stages", "list of mappings", only_mappings<plan>),
        list<plan>("guards", "list of mappings", only_mappings<plan>),
        row<plan>("dwell", "duration", set_dwell<plan>),
        row<plan>("refuse", "text", set_text<plan, &plan::refuse>),
    };
    return keys;
}

class reader {
public:
    reader(const service_config& service, stages_of what) : service_(service) {
        value_.what = what;
    }
    stages_outcome read(std::string_view yaml);

private:
    void read_plan(const YAML::Node& document);
    void read_stage(const YAML::Node& node, place at);

    const service_config& service_;
    plan value_;
    std::vector<place> places_;  ///< of the stages
    problem_list errors_;
};

void reader::read_stage(const YAML::Node& node, place at) {
    if (value_.stages.size() == stages_max) {
        errors_.push_back({at.line, at.column, "too many stages, expected at most 1000"});
        return;
    }
    stage read;
    const std::string shown = "stage " + std::to_string(value_.stages.size() + 1);
    section<stage> s(read, stage_keys(), shown, "", errors_);
    s.on_mapping = [&](std::string_view list, const YAML::Node& element, place where) {
        const bool is_guard = list == "guards";
        if (is_guard) {
            read_guard(element, where, service_, read.guards, errors_);
        }
        return is_guard;
    };
    const std::size_t errors_before = errors_.size();
    s.read(node);
    s.require("admit", at);
    if (errors_.size() == errors_before) {
        auto set = proxy::address_set::parse(read.tokens);
        const bool is_nobody = value_.what == stages_of::canary && set && set->is_empty();
        if (is_nobody) {
            s.error(s.at("admit"), shown + ".admit: a canary of nobody, expected ranges");
        } else if (set) {
            read.set = std::move(*set);
        } else {
            s.error(s.at("admit"), shown + ".admit: " + set.error().message);
        }
    }
    places_.push_back(at);
    value_.stages.push_back(std::move(read));
}

void reader::read_plan(const YAML::Node& document) {
    if (!document.IsMap()) {
        const place at = place_of(document, place{});
        errors_.push_back(
            {at.line,
             at.column,
             "the file holds " + kind_of(document) + ", expected a mapping with stages"}
        );
        return;
    }
    section<plan> s(value_, plan_keys(), "", "", errors_);
    s.on_mapping = [&](std::string_view list, const YAML::Node& element, place where) {
        if (list == "stages") {
            read_stage(element, where);
        } else {
            read_guard(element, where, service_, value_.guards, errors_);
        }
        return true;
    };
    s.read(document);
    if (!s.has("stages")) {
        s.error(place{}, "the file has no \"stages\", expected at least one");
    }
    if (s.has("refuse") && value_.what == stages_of::canary) {
        s.error(
            s.at("refuse"),
            "refuse has no meaning for a canary, whose other clients stay on the route; expected "
            "stages without it"
        );
    }
    for (std::size_t i = 0; i < value_.stages.size(); ++i) {
        stage& each = value_.stages[i];
        const bool is_last = i + 1 == value_.stages.size();
        if (!each.dwell) {
            each.dwell = value_.dwell;
        }
        if (!each.dwell && !is_last) {
            s.error(
                places_[i],
                "stage " + std::to_string(i + 1) +
                    " has no \"dwell\", expected one there or for all of them"
            );
        }
        each.guards.insert(each.guards.begin(), value_.guards.begin(), value_.guards.end());
    }
}

stages_outcome reader::read(std::string_view yaml) {
    try {
        const std::vector<YAML::Node> documents = YAML::LoadAll(std::string(yaml));
        if (documents.size() > 1) {
            const place at = place_of(documents[1], place{});
            errors_.push_back({at.line, at.column, "a second YAML document, expected one"});
        }
        read_plan(documents.empty() ? YAML::Node() : documents.front());
    } catch (const YAML::Exception& e) {
        const place at = place_of(e.mark);
        errors_.push_back(
            {at.line, at.column, "YAML: " + e.msg + ", expected a well-formed document"}
        );
    }
    std::stable_sort(errors_.begin(), errors_.end(), [](const auto& a, const auto& b) {
        return std::pair(a.line, a.column) < std::pair(b.line, b.column);
    });
    stages_outcome outcome;
    outcome.errors = std::move(errors_);
    if (outcome.errors.empty()) {
        outcome.value = std::move(value_);
    }
    return outcome;
}

}  // namespace

stages_outcome parse_stages(std::string_view yaml, const service_config& service, stages_of what) {
    return reader(service, what).read(yaml);
}

stages_outcome load_stages(const std::string& path, const service_config& service, stages_of what) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    if (!file || (!(text << file.rdbuf()) && file.peek() != std::ifstream::traits_type::eof())) {
        stages_outcome outcome;
        outcome.errors.push_back({1, 1, "the file cannot be read, expected stages in YAML"});
        return outcome;
    }
    return parse_stages(text.str(), service, what);
}

}  // namespace pgsluice::control
