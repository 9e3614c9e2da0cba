// Requests that fit the table of commands.
#include "control/commands/request.hpp"

#include "control/base/duration.hpp"
#include "control/base/words.hpp"
#include "control/commands/argument_rules.hpp"
#include "proxy/access/address_set.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include <algorithm>
#include <vector>

namespace pgsluice::control {
namespace {

namespace json = boost::json;

failure wrong(std::string message) {
    return failure{"22023", std::move(message), {}, {}};
}

std::vector<std::string_view> argument_names(const command& what) {
    std::vector<std::string_view> names;
    for (const command_argument& argument : what.arguments) {
        names.push_back(argument.name);
    }
    return names;
}

result<void> check_value(const command_argument& argument, std::string_view value) {
    const std::string name = (argument.is_positional() ? "" : "--") + std::string(argument.name);
    switch (argument.type) {
    case argument_type::flag:
        if (value != "true") {
            return wrong(name + " takes no value");
        }
        break;
    case argument_type::text:
        if (value.empty()) {
            return wrong(name + " is empty");
        }
        if (value.find('\0') != std::string_view::npos) {
            return wrong(name + " holds a zero byte");
        }
        break;
    case argument_type::ranges:
        if (!argument.word.empty() && value == argument.word) {
            break;
        }
        if (const auto set = proxy::address_set::parse(words(value)); !set) {
            return wrong(name + ": " + set.error().message);
        }
        break;
    case argument_type::duration:
        if (const auto duration = parse_duration(value); !duration) {
            return wrong(name + ": " + duration.error().message);
        }
        break;
    case argument_type::choice:
        if (std::find(argument.choices.begin(), argument.choices.end(), value) ==
            argument.choices.end()) {
            return wrong(
                name + ": \"" + std::string(value) + "\" is not valid, expected " +
                one_of(argument.choices) + did_you_mean(value, argument.choices)
            );
        }
        break;
    }
    return {};
}

result<void> check_arguments(const request& given) {
    for (const auto& [name, value] : given.arguments) {
        const command_argument* argument = given.what->find_argument(name);
        if (argument == nullptr) {
            const auto names = argument_names(*given.what);
            return wrong(
                std::string(given.what->name) + " has no argument \"" + name + "\"" +
                (names.empty() ? ", expected none" : ", expected " + one_of(names)) +
                did_you_mean(name, names)
            );
        }
        if (auto checked = check_value(*argument, value); !checked) {
            return checked;
        }
    }
    if (given.what->id == command_id::admit) {
        if (auto checked = check_admit(given); !checked) {
            return checked;
        }
    }
    if (given.what->id == command_id::canary) {
        if (auto checked = check_canary(given); !checked) {
            return checked;
        }
    }
    for (const command_argument& argument : given.what->arguments) {
        if (argument.is_required && !given.has(argument.name)) {
            return wrong(
                std::string(given.what->name) + " needs " + (argument.is_positional() ? "" : "--") +
                std::string(argument.name) + ", " + std::string(argument.help)
            );
        }
    }
    return {};
}

}  // namespace

std::string request::text(std::string_view argument, std::string_view otherwise) const {
    const auto found = arguments.find(argument);
    return found == arguments.end() ? std::string(otherwise) : found->second;
}

std::chrono::milliseconds
request::duration(std::string_view argument, std::chrono::milliseconds otherwise) const {
    const auto found = arguments.find(argument);
    return found == arguments.end() ? otherwise : parse_duration(found->second).value();
}

result<request> make_request(
    std::string_view command_name,
    std::string service,
    std::map<std::string, std::string, std::less<>> arguments
) {
    request given{find_command(command_name), std::move(service), std::move(arguments)};
    if (given.what == nullptr) {
        std::vector<std::string_view> names;
        for (const command& each : commands()) {
            names.push_back(each.name);
        }
        return wrong(
            (command_name.empty() ? "no command is given"
                                  : "unknown command \"" + std::string(command_name) + "\"") +
            ", expected " + one_of(names) + did_you_mean(command_name, names)
        );
    }
    if (auto checked = check_arguments(given); !checked) {
        return checked.error();
    }
    return given;
}

result<request> parse_request(std::string_view line) {
    boost::system::error_code error;
    const json::value parsed = json::parse(line, error);
    if (error || !parsed.is_object()) {
        return wrong("the request is not a JSON object, expected {\"command\": NAME, ...}");
    }
    std::string command_name;
    std::string service;
    std::map<std::string, std::string, std::less<>> arguments;
    for (const auto& [key, value] : parsed.get_object()) {
        if (key == "command" && value.is_string()) {
            command_name = value.get_string();
        } else if (key == "service" && value.is_string()) {
            service = value.get_string();
        } else if (key == "arguments" && value.is_object()) {
            for (const auto& [name, argument] : value.get_object()) {
                if (!argument.is_string() && !argument.is_bool()) {
                    return wrong("argument \"" + std::string(name) + "\" is not a text or flag");
                }
                if (argument.is_string()) {
                    arguments.emplace(name, argument.get_string());
                } else if (argument.get_bool()) {
                    arguments.emplace(name, "true");
                }
            }
        } else {
            return wrong(
                "\"" + std::string(key) +
                "\" is not valid in a request, expected command and "
                "service as texts and arguments as an object"
            );
        }
    }
    return make_request(command_name, std::move(service), std::move(arguments));
}

std::string format_request(const request& given) {
    json::object arguments;
    for (const auto& [name, value] : given.arguments) {
        arguments[name] = value;
    }
    json::object line;
    line["command"] = given.what->name;
    if (!given.service.empty()) {
        line["service"] = given.service;
    }
    line["arguments"] = std::move(arguments);
    return json::serialize(line);
}

}  // namespace pgsluice::control
