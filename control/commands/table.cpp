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
    {.name = "BACKEND", .is_required = true, .help = "where the sessions shall belong"},
};
constexpr command_argument cutover_arguments[] = {
    {.name = "to", .is_required = true, .help = "the new backend"},
    {.name = "plan", .help = "file with deviations from the configured steps", .is_file = true},
    {.name = "html",
     .help = "file that sluicectl writes the report to, as a page",
     .is_file = true},
    {.name = "dry-run",
     .type = argument_type::flag,
     .help = "print the plan with live readings, change nothing"},
    {.name = "timeout",
     .type = argument_type::duration,
     .help = "deadline of all steps up to the commit point together (default 10m)"},
    {.name = "on-pinned",
     .type = argument_type::choice,
     .choices = pinned_policies,
     .help = "sessions that cannot be moved (default: cutover.on_pinned)"},
};
/// A rollback knows where it leads and has no plan: the arguments after those two.
constexpr auto rollback_arguments = std::span(cutover_arguments).subspan<2>();
constexpr command_argument preflight_arguments[] = {
    {.name = "to", .is_required = true, .help = "the new backend"},
    {.name = "html",
     .help = "file that sluicectl writes the verdicts to, as a page",
     .is_file = true},
    {.name = "plan", .help = "file with deviations from the configured steps", .is_file = true},
};
constexpr command_argument pause_stages{
    .name = "pause", .type = argument_type::flag, .help = "stay in the stage under way"};
constexpr command_argument resume_stages{
    .name = "resume", .type = argument_type::flag, .help = "go on with the stages"};
constexpr command_argument skip_stage{
    .name = "skip", .type = argument_type::flag, .help = "the next stage at once"};
constexpr command_argument admit_arguments[] = {
    {.name = "RANGES",
     .type = argument_type::ranges,
     .help = "ADDRESS/BITS or ADDRESS/BITS=PERCENT% each, local, all or none; or plan, which "
             "proposes stages",
     .word = plan_word},
    {.name = "refuse", .help = "tell new clients outside this (57P03) and close"},
    {.name = "hold",
     .type = argument_type::flag,
     .help = "let new clients outside wait, at most hold.timeout (default)"},
    {.name = "stages",
     .help = "file with sets that are admitted one after the other, in the background; of plan, "
             "how many",
     .is_file = true},
    {.name = "by",
     .type = argument_type::choice,
     .choices = weights,
     .help = "what plan splits (default sessions)"},
    pause_stages,
    resume_stages,
    skip_stage,
};
constexpr command_argument canary_arguments[] = {
    {.name = "RANGES",
     .type = argument_type::ranges,
     .help = "whose clients go there, as admit takes them; or off, which takes them back",
     .word = off_word},
    {.name = "to", .help = "the backend that they get"},
    {.name = "access",
     .type = argument_type::choice,
     .choices = accesses,
     .help = "read-only (default) forces them read-only, as the command readonly does"},
    {.name = "timeout",
     .type = argument_type::duration,
     .help = "how long to wait for live sessions to move (default 10s); then they go on to"},
    {.name = "stages",
     .help = "file with sets that go there one after the other, in the background",
     .is_file = true},
    pause_stages,
    resume_stages,
    skip_stage,
};
constexpr command_argument drain_arguments[] = {
    {.name = "timeout",
     .type = argument_type::duration,
     .help = "how long to wait for their boundaries (default 10s); who is left then goes on"},
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
     .help = "how long to wait for transactions under way (default 10s); then off again"},
    {.name = "fence",
     .type = argument_type::choice,
     .choices = read_only_fences,
     .help = "against whom the proxy does not see; default where there is an admin login"},
    {.name = "by",
     .type = argument_type::choice,
     .choices = read_only_ways,
     .help = "what keeps sessions from writing: the guard (default), or the backend's "
             "read_only_user, to whose login they move"},
};
constexpr command_argument events_arguments[] = {
    {.name = "last", .help = "only so many, the newest (default 50; 0 for all)"},
    {.name = "after", .help = "only what came after the event of this number"},
    {.name = "follow",
     .type = argument_type::flag,
     .help = "go on with each new event, until it is interrupted"},
};
constexpr command_argument kill_arguments[] = {
    {.name = "SESSION", .is_required = true, .help = "its number, as in sessions"},
};
constexpr command_argument wait_close_arguments[] = {
    {.name = "timeout",
     .type = argument_type::duration,
     .help = "how long to wait at most (default 60s)"},
};
constexpr command_argument shutdown_arguments[] = {
    {.name = "drain",
     .type = argument_type::flag,
     .help = "first wait for each session's boundary (at most cutover.drain_timeout)"},
};

constexpr command table[] = {
    {.id = command_id::status,
     .name = "status",
     .help = "route, gate, sessions and progress of each service",
     .needs = role::viewer},
    {.id = command_id::sessions,
     .name = "sessions",
     .needs_service = true,
     .help = "one row a session, or grouped",
     .arguments = sessions_arguments,
     .needs = role::viewer},
    {.id = command_id::pause,
     .name = "pause",
     .needs_service = true,
     .help = "close the gate and wait until every session is parked; goes on to its deadline when "
             "sluicectl is interrupted",
     .arguments = pause_arguments},
    {.id = command_id::resume,
     .name = "resume",
     .needs_service = true,
     .help = "open the gate; also ends a pause that is still waiting"},
    {.id = command_id::retarget,
     .name = "retarget",
     .needs_service = true,
     .help = "move every session to another backend, without any replication check",
     .arguments = retarget_arguments},
    {.id = command_id::cutover,
     .name = "cutover",
     .needs_service = true,
     .help = "fence, catch up, switch and move: the whole sequence, or back to the old backend",
     .arguments = cutover_arguments},
    {.id = command_id::rollback,
     .name = "rollback",
     .needs_service = true,
     .help = "a cutover back to the backend that the last one left",
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
     .help = "end sessions at their next boundary with 57P01; new connections go on",
     .arguments = drain_arguments},
    {.id = command_id::readonly,
     .name = "readonly",
     .needs_service = true,
     .help = "force read-only: on returns when no session can write any more",
     .arguments = readonly_arguments},
    {.id = command_id::events,
     .name = "events",
     .help = "the journal: what was intended and done, oldest first",
     .arguments = events_arguments,
     .needs = role::viewer},
    {.id = command_id::abort,
     .name = "abort",
     .needs_service = true,
     .help = "end a running cutover, retarget or pause before its commit point, or else stages"},
    {.id = command_id::admit,
     .name = "admit",
     .needs_service = true,
     .help = "whose new work the open gate lets through, at once or in stages; returns when every "
             "worker goes by it",
     .arguments = admit_arguments},
    {.id = command_id::reload,
     .name = "reload",
     .help = "read the configuration file again and apply what needs no restart",
     .needs = role::admin},
    {.id = command_id::shutdown,
     .name = "shutdown",
     .help = "end every session with 57P01 and exit",
     .arguments = shutdown_arguments,
     .needs = role::admin},
    {.id = command_id::kill,
     .name = "kill",
     .needs_service = true,
     .help = "end one session with 57P01 wherever it is",
     .arguments = kill_arguments},
    {.id = command_id::reconnect,
     .name = "reconnect",
     .needs_service = true,
     .help = "move each session to a fresh connection of its own backend, at one of its next "
             "boundaries; returns at once"},
    {.id = command_id::wait_close,
     .name = "wait-close",
     .needs_service = true,
     .help = "wait until no session has a connection from before the last reconnect",
     .arguments = wait_close_arguments},
    {.id = command_id::disable,
     .name = "disable",
     .needs_service = true,
     .help = "refuse new clients with 57P03; sessions that are there go on"},
    {.id = command_id::enable,
     .name = "enable",
     .needs_service = true,
     .help = "let new clients in again"},
    {.id = command_id::canary,
     .name = "canary",
     .needs_service = true,
     .help = "send clients of some addresses, new and live, to another backend than the route, at "
             "once or in stages",
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
