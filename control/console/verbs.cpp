// The table of verbs, and SHOW HELP, which shows it.
#include "control/console/verbs.hpp"

#include "control/console/words.hpp"

namespace pgsluice::control {
namespace {

using kind = console_verb::kind;

constexpr std::string_view no_transactions =
    "the console knows no transactions: what is done here cannot be rolled back";

constexpr console_verb verbs[] = {
    {.name = "pause",
     .usage = "PAUSE [NAME] [TIMEOUT 10s] [ON TIMEOUT RESUME|TERMINATE|KEEP]",
     .runs = command_id::pause,
     .takes_name = true,
     .is_quiet = true},
    {.name = "resume",
     .usage = "RESUME [NAME]",
     .runs = command_id::resume,
     .takes_name = true,
     .is_quiet = true},
    {.name = "reload", .usage = "RELOAD", .runs = command_id::reload, .is_quiet = true},
    {.name = "kill",
     .usage = "KILL [NAME]",
     .runs = command_id::pause,
     .takes_name = true,
     .is_quiet = true},
    {.name = "kill_client", .usage = "KILL_CLIENT ID", .runs = command_id::kill, .is_quiet = true},
    {.name = "reconnect",
     .usage = "RECONNECT [NAME]",
     .runs = command_id::reconnect,
     .takes_name = true,
     .is_quiet = true},
    {.name = "wait_close",
     .usage = "WAIT_CLOSE [NAME] [TIMEOUT 60s]",
     .runs = command_id::wait_close,
     .takes_name = true,
     .is_quiet = true},
    {.name = "disable",
     .usage = "DISABLE [NAME]",
     .runs = command_id::disable,
     .takes_name = true,
     .is_quiet = true},
    {.name = "enable",
     .usage = "ENABLE [NAME]",
     .runs = command_id::enable,
     .takes_name = true,
     .is_quiet = true},
    {.name = "shutdown",
     .usage = "SHUTDOWN [WAIT_FOR_SERVERS]",
     .runs = command_id::shutdown,
     .is_quiet = true},
    {.name = "retarget", .usage = "RETARGET BACKEND", .runs = command_id::retarget},
    {.name = "preflight", .usage = "PREFLIGHT TO BACKEND", .runs = command_id::preflight},
    {.name = "cutover",
     .usage = "CUTOVER TO BACKEND [TIMEOUT 10m] [ON PINNED ABORT|TERMINATE|WAIT] [DRY RUN]",
     .runs = command_id::cutover},
    {.name = "abort", .usage = "ABORT", .runs = command_id::abort},
    {.name = "admit",
     .usage = "ADMIT ALL|NONE|RANGE[=PERCENT%] ... [HOLD | REFUSE 'MESSAGE'] | PAUSE | RESUME "
              "| SKIP",
     .runs = command_id::admit},
    {.name = "canary",
     .usage = "CANARY RANGE[=PERCENT%] ... TO BACKEND [ACCESS READ-ONLY|READ-WRITE] | OFF | PAUSE "
              "| RESUME | SKIP",
     .runs = command_id::canary},
    {.name = "readonly",
     .usage = "READONLY ON|OFF [TIMEOUT 10s] [FENCE NONE|DEFAULT|LOCK_TABLES] "
              "[BY GUARD|USER]",
     .runs = command_id::readonly},
    {.name = "drain",
     .usage = "DRAIN [TIMEOUT 10s] [BACKEND NAME] [USER NAME] [CIDR RANGE]",
     .runs = command_id::drain},
    {.name = "suspend",
     .usage = "",
     .what = kind::refused,
     .why = "SUSPEND is for handing sockets to another process, which pgsluice does not do",
     .hint = "PAUSE stops new work."},
    {.name = "begin", .usage = "", .what = kind::refused, .why = no_transactions},
    {.name = "start", .usage = "", .what = kind::refused, .why = no_transactions},
    {.name = "commit", .usage = "", .what = kind::refused, .why = no_transactions},
    {.name = "rollback", .usage = "", .what = kind::refused, .why = no_transactions},
    {.name = "end", .usage = "", .what = kind::refused, .why = no_transactions},
};

}  // namespace

std::span<const console_verb> console_verbs() {
    return verbs;
}

std::string console_help() {
    std::string names = "HELP";
    for (const show_table& each : show_tables()) {
        names += "|" + keyword_text(each.name);
    }
    std::string lines = "\n\tSHOW " + names + "\n\tSET key = arg\n";
    for (const console_verb& verb : verbs) {
        if (!verb.usage.empty()) {
            lines += "\t" + std::string(verb.usage) + "\n";
        }
    }
    return lines;
}

}  // namespace pgsluice::control
