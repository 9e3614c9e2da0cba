#pragma once

#include "protocol/errors.hpp"

#include <boost/json/object.hpp>

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::control {

/// What blanks separate.
std::vector<std::string> words(std::string_view text);

/// Every operator command; the order is the order of the table.
enum class command_id : std::uint8_t {
    status,
    sessions,
    pause,
    resume,
    retarget,
    cutover,
    rollback,
    preflight,
    drain,
    readonly,
    events,
    abort,
    admit,
    reload,
    shutdown,
    kill,
    reconnect,
    wait_close,
    disable,
    enable,
    canary,
};

/// What somebody who gives commands may do; each may do what those before may, too.
enum class role : std::uint8_t {
    none,
    viewer,     ///< looks
    operator_,  ///< pauses, moves, admits, ends sessions
    admin,      ///< reloads and stops the daemon
};
std::string_view to_string(role who);

enum class argument_type : std::uint8_t {
    flag,
    text,
    duration,
    choice,
    ranges,  ///< of addresses, one or more, separated by blanks
};

/// One argument of a command.
struct command_argument {
    std::string_view name;  ///< `timeout` is `--timeout VALUE`; in capitals it is positional
    argument_type type = argument_type::text;
    std::span<const std::string_view> choices{};  ///< for argument_type::choice
    bool is_required = false;
    std::string_view help;
    bool is_file = false;     ///< names one of whoever runs sluicectl: not for others
    std::string_view word{};  ///< may stand where ranges do

    bool is_positional() const { return name.front() >= 'A' && name.front() <= 'Z'; }
};

/// One row of the table that the control socket, sluicectl and the console share.
struct command {
    command_id id;
    std::string_view name;
    bool needs_service = false;  ///< works on one service, which may be left out where there is one
    std::string_view help;
    std::span<const command_argument> arguments{};
    role needs = role::operator_;

    /// Null when the command has no argument of that name.
    const command_argument* find_argument(std::string_view argument) const;
};

std::span<const command> commands();

/// Null when there is no such command.
const command* find_command(std::string_view name);

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
