#pragma once

#include "control/commands/table.hpp"
#include "protocol/errors.hpp"

#include <chrono>
#include <map>
#include <string>
#include <string_view>

namespace pgsluice::control {

/// A command with its arguments, validated against the table.
struct request {
    const command* what = nullptr;
    std::string service;                                        ///< empty = the only one
    std::map<std::string, std::string, std::less<>> arguments;  ///< those that were given
    std::string asked_by{};  ///< the user at the other end of the control socket or console

    bool has(std::string_view argument) const { return arguments.contains(argument); }
    /// The value given, else `otherwise`.
    std::string text(std::string_view argument, std::string_view otherwise = {}) const;
    std::chrono::milliseconds
    duration(std::string_view argument, std::chrono::milliseconds otherwise) const;
};

/// Checks names, types and required arguments. Flags have the value "true". The failure says what
/// was expected and what was probably meant.
result<request> make_request(
    std::string_view command_name,
    std::string service,
    std::map<std::string, std::string, std::less<>> arguments
);

/// Reads a request line: {"command": NAME, "service"?: NAME, "arguments"?: {NAME: TEXT | true}}.
result<request> parse_request(std::string_view line);

/// The line that parse_request() reads, without line feed.
std::string format_request(const request& given);

}  // namespace pgsluice::control
