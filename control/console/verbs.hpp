#pragma once

#include "control/commands/request.hpp"
#include "control/console/show.hpp"
#include "protocol/errors.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

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

/// A service that statements can name.
struct named_service {
    std::string name;
    std::string database{};  ///< the only one that its clients ask for, which names it as well
};

/// What a statement asks for.
struct console_plan {
    struct nothing {};  ///< a tag, and a refusal or no effect
    struct help {};
    using action = std::variant<nothing, help, request, const show_table*, const driver_setting*>;

    std::string tag;
    role needs = role::viewer;
    bool is_quiet = true;
    bool is_for_any = false;  ///< of the services: done when one of them has done it
    /// Which services it is about; none: the daemon, or whatever SHOW shows.
    std::vector<std::string> services{};
    action what{};
    protocol::console_columns columns{};  ///< of the answer; none: no rows
};

/// Understands one statement on a console of these services, one at least. Fails, having touched
/// nothing, with 42601 what is no statement, 22023 wrong values, 3D000 names of other services,
/// 0A000 what PgBouncer can do and pgsluice cannot.
result<console_plan>
plan_statement(std::string_view statement, std::span<const named_service> services);

/// The lines of SHOW HELP.
std::string console_help();

}  // namespace pgsluice::control
