#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace pgsluice::control {

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

}  // namespace pgsluice::control
