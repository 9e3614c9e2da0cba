// The table of operator commands: what sluicectl, the control socket and the console share.
#include "control/commands/table.hpp"

#include "control/commands/argument_rules.hpp"

#include <algorithm>

namespace pgsluice::control {
namespace {

constexpr std::string_view weights[] = {"sessions", "transactions", "bytes"};
constexpr std::string_view groupings[] = {"backend", "state", "user", "prefix", "pin"};
constexpr std::string_view pause_policies[] = {"resume", "terminate", "keep"};
constexpr std::string_view read_only_ways[] = {"guard", "user"};
constexpr std::string_view read_only_fences[] = {"none", "default", "lock_tables"};
constexpr std::string_view switch_positions[] = {"on", "off"};
constexpr std::string_view pinned_policies[] = {"abort", "terminate", "wait"};
constexpr std::string_view accesses[] = {"read-only", "read-write"};

constexpr command_argument sessions_arguments[] = {
    {.name = "by",
     .type = argument_type::choice,
     .choices = groupings,
     .help = "count sessions in groups instead of listing each"},
};
constexpr command_argument pause_arguments[] = {
    {.name = "timeout",
     .type = argument_type::duration,
     .help = "how long to wait for every session to park (default 10s)"},
    {.name = "on-timeout",
     .type = argument_type::choice,
     .choices = pause_policies,
     .help = "at the deadline: reopen (default), end the blockers, or stay paused"},
};
constexpr command_argument retarget_arguments[] = {
    {.name = "BACKEND", .is_required = true, .help = "the backend that all sessions move to"},
};
constexpr command_argument cutover_arguments[] = {
    {.name = "to", .is_required = true, .help = "the new backend"},
    {.name = "plan",
     .help = "file whose values replace the configured ones for this cutover",
     .is_file = true},
    {.name = "html",
     .help = "file to which sluicectl writes the report as an HTML page",
     .is_file = true},
    {.name = "dry-run",
     .type = argument_type::flag,
     .help = "print the plan with live readings and change nothing"},
    {.name = "timeout",
     .type = argument_type::duration,
     .help = "deadline for all steps before the commit point together (default 10m)"},
    {.name = "on-pinned",
     .type = argument_type::choice,
     .choices = pinned_policies,
     .help = "what to do about sessions that cannot be moved (default: cutover.on_pinned)"},
};
/// A rollback knows where it leads and has no plan: the arguments after those two.
constexpr auto rollback_arguments = std::span(cutover_arguments).subspan<2>();
constexpr command_argument preflight_arguments[] = {
    {.name = "to", .is_required = true, .help = "the new backend"},
    {.name = "html",
     .help = "file to which sluicectl writes the findings as an HTML page",
     .is_file = true},
    {.name = "plan",
     .help = "file whose values replace the configured ones for this cutover",
     .is_file = true},
};
constexpr command_argument pause_stages{
    .name = "pause", .type = argument_type::flag, .help = "stay in the current stage"};
constexpr command_argument resume_stages{
    .name = "resume", .type = argument_type::flag, .help = "continue the stages"};
constexpr command_argument skip_stage{
    .name = "skip", .type = argument_type::flag, .help = "start the next stage now"};
constexpr command_argument admit_arguments[] = {
    {.name = "RANGES",
     .type = argument_type::ranges,
     .help = "ADDRESS/BITS or ADDRESS/BITS=PERCENT% each, local, all or none; or plan, which "
             "proposes stages",
     .word = plan_word},
    {.name = "refuse", .help = "refuse clients outside the set with this message (57P03)"},
    {.name = "hold",
     .type = argument_type::flag,
     .help = "let clients outside the set wait, at most hold.timeout (default)"},
    {.name = "stages",
     .help = "file with sets that are admitted one after the other, in the background; of plan, "
             "how many",
     .is_file = true},
    {.name = "by",
     .type = argument_type::choice,
     .choices = weights,
     .help = "what plan divides into stages (default sessions)"},
    pause_stages,
    resume_stages,
    skip_stage,
};
constexpr command_argument canary_arguments[] = {
    {.name = "RANGES",
     .type = argument_type::ranges,
     .help = "whose clients go there, as admit takes them; or off, which takes them back",
     .word = off_word},
    {.name = "to", .help = "the backend for these clients"},
    {.name = "access",
     .type = argument_type::choice,
     .choices = accesses,
     .help = "read-only (default) forces these clients read-only, as the command readonly does"},
    {.name = "timeout",
     .type = argument_type::duration,
     .help =
         "how long to wait for connected sessions to move (default 10s); the others move later"},
    {.name = "stages",
     .help =
         "file with sets of addresses that are sent there one after the other, in the background",
     .is_file = true},
    pause_stages,
    resume_stages,
    skip_stage,
};
constexpr command_argument drain_arguments[] = {
    {.name = "timeout",
     .type = argument_type::duration,
     .help =
         "how long to wait for transaction boundaries (default 10s); sessions left then continue"},
    {.name = "backend", .help = "only sessions on this backend"},
    {.name = "user", .help = "only sessions of this user"},
    {.name = "cidr", .help = "only clients from this range of addresses, or local"},
};
constexpr command_argument readonly_arguments[] = {
    {.name = "MODE",
     .type = argument_type::choice,
     .choices = switch_positions,
     .is_required = true,
     .help = "on or off"},
    {.name = "timeout",
     .type = argument_type::duration,
     .help =
         "how long to wait for open transactions (default 10s); read-only ends at the deadline"},
    {.name = "fence",
     .type = argument_type::choice,
     .choices = read_only_fences,
     .help = "also block sessions that bypass the proxy (default: default, if there is an admin "
             "login)"},
    {.name = "by",
     .type = argument_type::choice,
     .choices = read_only_ways,
     .help = "what keeps sessions from writing: the guard (default), or the backend's "
             "read_only_user, to whose login they move"},
};
constexpr command_argument events_arguments[] = {
    {.name = "last", .help = "print the newest N events (default 50, 0 for all)"},
    {.name = "after", .help = "print the events after the one with this number"},
    {.name = "follow", .type = argument_type::flag, .help = "print new events until interrupted"},
};
constexpr command_argument kill_arguments[] = {
    {.name = "SESSION",
     .is_required = true,
     .help = "the session's number, as the command sessions prints it"},
};
constexpr command_argument wait_close_arguments[] = {
    {.name = "timeout", .type = argument_type::duration, .help = "maximum wait (default 60s)"},
};
constexpr command_argument shutdown_arguments[] = {
    {.name = "drain",
     .type = argument_type::flag,
     .help = "first wait until each session reaches a transaction boundary (at most "
             "cutover.drain_timeout)"},
};

constexpr command table[] = {
    {.id = command_id::status,
     .name = "status",
     .help = "show route, gate, sessions and progress of each service",
     .needs = role::viewer},
    {.id = command_id::sessions,
     .name = "sessions",
     .needs_service = true,
     .help = "list the sessions, or count them in groups",
     .arguments = sessions_arguments,
     .needs = role::viewer},
    {.id = command_id::pause,
     .name = "pause",
     .needs_service = true,
     .help =
         "close the gate and wait until every session is parked; interrupting sluicectl does not "
         "end it",
     .arguments = pause_arguments},
    {.id = command_id::resume,
     .name = "resume",
     .needs_service = true,
     .help = "open the gate; also ends a pause that is still waiting"},
    {.id = command_id::retarget,
     .name = "retarget",
     .needs_service = true,
     .help = "move every session to another backend without checking replication",
     .arguments = retarget_arguments},
    {.id = command_id::cutover,
     .name = "cutover",
     .needs_service = true,
     .help = "move the service to another backend: the whole sequence, undone if a step fails",
     .arguments = cutover_arguments},
    {.id = command_id::rollback,
     .name = "rollback",
     .needs_service = true,
     .help = "cut over to the backend that the last cutover left",
     .arguments = rollback_arguments},
    {.id = command_id::preflight,
     .name = "preflight",
     .needs_service = true,
     .help =
         "every check that a cutover makes, without touching data; 0 when none of them is an error",
     .arguments = preflight_arguments},
    {.id = command_id::drain,
     .name = "drain",
     .needs_service = true,
     .help =
         "end sessions at their next transaction boundary with 57P01; new connections are accepted",
     .arguments = drain_arguments},
    {.id = command_id::readonly,
     .name = "readonly",
     .needs_service = true,
     .help = "force the service read-only, or end that; on returns when no session can write",
     .arguments = readonly_arguments},
    {.id = command_id::events,
     .name = "events",
     .help = "print the journal, oldest event first",
     .arguments = events_arguments,
     .needs = role::viewer},
    {.id = command_id::abort,
     .name = "abort",
     .needs_service = true,
     .help = "end a running cutover, retarget or pause before its commit point, or else stages"},
    {.id = command_id::admit,
     .name = "admit",
     .needs_service = true,
     .help = "set which client addresses may start new transactions, at once or in stages; returns "
             "when every worker applies the set",
     .arguments = admit_arguments},
    {.id = command_id::reload,
     .name = "reload",
     .help = "read the configuration file again and apply what needs no restart",
     .needs = role::admin},
    {.id = command_id::shutdown,
     .name = "shutdown",
     .help = "end every session with 57P01 and stop pgsluice",
     .arguments = shutdown_arguments,
     .needs = role::admin},
    {.id = command_id::kill,
     .name = "kill",
     .needs_service = true,
     .help = "end one session with 57P01, even inside a transaction",
     .arguments = kill_arguments},
    {.id = command_id::reconnect,
     .name = "reconnect",
     .needs_service = true,
     .help = "move each session to a new connection to its own backend at a transaction boundary; "
             "does not wait"},
    {.id = command_id::wait_close,
     .name = "wait-close",
     .needs_service = true,
     .help = "wait until every session has the connection that the last reconnect gave it",
     .arguments = wait_close_arguments},
    {.id = command_id::disable,
     .name = "disable",
     .needs_service = true,
     .help = "refuse new clients with 57P03; connected sessions continue"},
    {.id = command_id::enable,
     .name = "enable",
     .needs_service = true,
     .help = "accept new clients again"},
    {.id = command_id::canary,
     .name = "canary",
     .needs_service = true,
     .help =
         "send the clients from some addresses to another backend than the route, at once or in "
         "stages",
     .arguments = canary_arguments},
};

}  // namespace

std::span<const command> commands() {
    return table;
}

std::string_view to_string(role who) {
    static constexpr std::string_view names[] = {"none", "viewer", "operator", "admin"};
    return names[static_cast<std::size_t>(who)];
}

const command* find_command(std::string_view name) {
    const auto all = commands();
    const auto found = std::find_if(all.begin(), all.end(), [&](const command& each) {
        return each.name == name;
    });
    return found == all.end() ? nullptr : &*found;
}

const command_argument* command::find_argument(std::string_view argument) const {
    for (const command_argument& each : arguments) {
        if (each.name == argument) {
            return &each;
        }
    }
    return nullptr;
}

}  // namespace pgsluice::control
