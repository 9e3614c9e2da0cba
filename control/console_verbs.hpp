#pragma once

#include "control/commands.hpp"
#include "control/console_show.hpp"
#include "protocol/errors.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>

namespace pgsluice::control {

/// One row of the table of what a console takes besides SHOW: words, and the operator command that
/// they are.
struct console_verb {
    enum class kind : std::uint8_t {
        command,  ///< `runs`
        refused,  ///< pgsluice has no such thing: `why`
    };
    std::string_view name;   ///< in lower case
    std::string_view usage;  ///< of SHOW HELP; empty: not shown there
    kind what = kind::command;
    command_id runs{};
    bool takes_name = false;  ///< of the service, as PgBouncer's take one of a database
    bool is_quiet = false;    ///< says nothing but its tag when it is done, as PgBouncer's
    std::string_view why{};   ///< of a refusal; what to do instead is the `hint`
    std::string_view hint{};
};
std::span<const console_verb> console_verbs();

/// What a statement asks for.
struct console_plan {
    struct nothing {};  ///< a tag, and a refusal or no effect
    struct help {};
    using action = std::variant<nothing, help, request, const show_table*, const driver_setting*>;

    std::string tag;
    role needs = role::viewer;
    bool is_quiet = true;
    action what{};
    protocol::console_columns columns{};  ///< of the answer; none: no rows
};

/// Understands one statement on the console of `service`. Fails, having touched nothing, with
/// 42601 what is no statement, 22023 wrong values, 3D000 names of other services, 0A000 what
/// PgBouncer can do and pgsluice cannot.
result<console_plan> plan_statement(std::string_view statement, const std::string& service);

/// The lines of SHOW HELP.
std::string console_help();

}  // namespace pgsluice::control
