// The keys `cutover.NAME` of a service.
#include "control/base/words.hpp"
#include "control/config/rows.hpp"
#include "proxy/access/address_set.hpp"
#include "proxy/access/admission.hpp"

namespace pgsluice::control {
namespace {

using service = service_config;

problem set_admit_after(service& target, std::string_view text) {
    const auto set = proxy::address_set::parse(words(text));
    if (!text.empty() && !set) {
        return set.error().message;
    }
    return set_text<service, &service::cutover, &cutover_config::admit_after>(target, text);
}

problem add_prewarm(service& target, std::string_view text) {
    if (text.empty() || text.find_first_of(std::string_view("\0\n", 2)) != text.npos) {
        return not_a(text, "valid", "the name of a table or index, with its schema");
    }
    target.cutover.prewarm.emplace_back(text);
    return std::nullopt;
}

std::vector<std::string> show_prewarm(const service& target) {
    std::vector<std::string> texts;
    for (const std::string& name : target.cutover.prewarm) {
        texts.push_back(quoted(name));
    }
    return texts;
}

const config_key<service> rows[] = {
    duration_key<service, &service::cutover, &cutover_config::drain_timeout>(
        {.name = "cutover.drain_timeout",
         .initial = "10s",
         .is_reloadable = reloadable,
         .doc = "How long a cutover waits for every session to reach a boundary: first for those "
                "with long transactions, then for all others."}
    ),
    duration_key<service, &service::cutover, &cutover_config::long_transaction>(
        {.name = "cutover.long_transaction",
         .initial = "500ms",
         .is_reloadable = reloadable,
         .doc = "Sessions whose transactions take this long are parked first, while all others go "
                "on; and the longest that everybody waits for one that was not known to be long. "
                "0 parks everybody at once."}
    ),
    duration_key<service, &service::cutover, &cutover_config::catch_up_timeout>(
        {.name = "cutover.catch_up_timeout",
         .initial = "30s",
         .is_reloadable = reloadable,
         .doc = "How long a cutover waits for the new backend to apply everything."}
    ),
    duration_key<service, &service::cutover, &cutover_config::timeout>(
        {.name = "cutover.timeout",
         .initial = "10m",
         .is_reloadable = reloadable,
         .doc = "Deadline for all steps before the commit point."}
    ),
    duration_key<service, &service::cutover, &cutover_config::preflight_timeout>(
        {.name = "cutover.preflight_timeout",
         .initial = "15s",
         .is_reloadable = reloadable,
         .doc = "Deadline for all checks."}
    ),
    duration_key<service, &service::cutover, &cutover_config::prepare_timeout>(
        {.name = "cutover.prepare_timeout",
         .initial = "30s",
         .is_reloadable = reloadable,
         .doc = "Copying the sessions ahead; what is left then follows in the pause."}
    ),
    duration_key<service, &service::cutover, &cutover_config::fence_timeout>(
        {.name = "cutover.fence_timeout",
         .initial = "10s",
         .is_reloadable = reloadable,
         .doc = "Making the old backend read-only."}
    ),
    duration_key<service, &service::cutover, &cutover_config::sequences_timeout>(
        {.name = "cutover.sequences_timeout",
         .initial = "10s",
         .is_reloadable = reloadable,
         .doc = "Copying sequence values."}
    ),
    duration_key<service, &service::cutover, &cutover_config::promote_timeout>(
        {.name = "cutover.promote_timeout",
         .initial = "1m",
         .is_reloadable = reloadable,
         .doc = "Promoting the new backend."}
    ),
    duration_key<service, &service::cutover, &cutover_config::verify_timeout>(
        {.name = "cutover.verify_timeout",
         .initial = "10s",
         .is_reloadable = reloadable,
         .doc = "A write, and `verify_query`, on the new backend."}
    ),
    duration_key<service, &service::cutover, &cutover_config::hook_timeout>(
        {.name = "cutover.hook_timeout",
         .initial = "1m",
         .is_reloadable = reloadable,
         .doc = "Each of `before_command`, `after_command` and `abort_command`."}
    ),
    duration_key<service, &service::cutover, &cutover_config::pause_limit>(
        {.name = "cutover.pause_limit",
         .initial = "0s",
         .is_reloadable = reloadable,
         .doc = "The longest that the gate stays closed before the commit point: then the cutover "
                "goes back and, if `attempts` are left, tries again. 0 leaves it to the deadlines "
                "of the steps."}
    ),
    number_key<service, 1, 1'000, &service::cutover, &cutover_config::attempts>(
        {.name = "cutover.attempts",
         .unit = "attempts",
         .initial = "1",
         .is_reloadable = reloadable,
         .doc = "How often a cutover is tried that a deadline ends; the last one exits 5."}
    ),
    duration_key<service, &service::cutover, &cutover_config::retry_after>(
        {.name = "cutover.retry_after",
         .initial = "5s",
         .is_reloadable = reloadable,
         .doc = "How long clients are left in peace before the next attempt; doubled for each "
                "further one."}
    ),
    choice_key<service, fence_method, &service::cutover, &cutover_config::fence>(
        {.name = "cutover.fence",
         .type = "none | default_read_only | lock_tables | revoke_connect | command",
         .initial = "default_read_only",
         .is_reloadable = reloadable,
         .doc = "How the old backend is kept from taking writes beside pgsluice; see "
                "docs/cutover.md. With `none` somebody else has to see to it."}
    ),
    text_key<service, &service::cutover, &cutover_config::fence_command>(
        {.name = "cutover.fence_command",
         .is_reloadable = reloadable,
         .doc = "Shell command that keeps the backend PGSLUICE_FENCED from taking writes, also "
                "those of the admin login (`fence: command`).",
         .is_secret = true}
    ),
    text_key<service, &service::cutover, &cutover_config::unfence_command>(
        {.name = "cutover.unfence_command",
         .is_reloadable = reloadable,
         .doc = "Shell command that undoes it; it may be run more than once.",
         .is_secret = true}
    ),
    number_key<service, 0, 1'000'000'000, &service::cutover, &cutover_config::sequence_margin>(
        {.name = "cutover.sequence_margin",
         .unit = "values",
         .initial = "0",
         .is_reloadable = reloadable,
         .doc = "How many values each sequence that is copied leaves out (`kind: logical`)."}
    ),
    text_key<service, &service::cutover, &cutover_config::verify_query>(
        {.name = "cutover.verify_query",
         .is_reloadable = reloadable,
         .doc = "Asked on the new backend before the commit point; its first column has to be "
                "true. "
                "The search_path is empty: names need their schema."}
    ),
    config_key<service>{
        .name = "cutover.admit_after",
        .type = "ranges of addresses",
        .is_reloadable = reloadable,
        .doc = "Who is admitted on the new backend from the switch on, as `sluicectl admit` takes "
               "it: `10.1.0.0/16=10% 10.2.0.0/16`. All others are held until an `admit`. Without "
               "it admission stays as it is.",
        .set = set_admit_after,
        .show = show_text<service, &service::cutover, &cutover_config::admit_after>,
        .copy = copy_field<service, &service::cutover, &cutover_config::admit_after>},
    choice_key<service, later_access, &service::cutover, &cutover_config::access_after>(
        {.name = "cutover.access_after",
         .type = "unchanged | read-only",
         .initial = "unchanged",
         .is_reloadable = reloadable,
         .doc = "With `read-only` clients go on read-only on the new backend, until `readonly "
                "off`: time to check the new server while nothing is written that a rollback would "
                "lose."}
    ),
    config_key<service>{
        .name = "cutover.prewarm",
        .type = "list of text",
        .is_reloadable = reloadable,
        .is_list = true,
        .doc = "Tables and indexes, with their schema, that are read into the new backend's memory "
               "ahead, in the admin login's database; needs the extension pg_prewarm there.",
        .set = add_prewarm,
        .show = show_prewarm,
        .copy = copy_field<service, &service::cutover, &cutover_config::prewarm>},
    duration_key<service, &service::cutover, &cutover_config::prewarm_timeout>(
        {.name = "cutover.prewarm_timeout",
         .initial = "30s",
         .is_reloadable = reloadable,
         .doc = "How long that may take; what is left then stays cold."}
    ),
    text_key<service, &service::cutover, &cutover_config::before_command>(
        {.name = "cutover.before_command",
         .is_reloadable = reloadable,
         .doc = "Shell command between the checks and the first effect; a failure ends the "
                "cutover.",
         .is_secret = true}
    ),
    text_key<service, &service::cutover, &cutover_config::after_command>(
        {.name = "cutover.after_command",
         .is_reloadable = reloadable,
         .doc = "Shell command after the last step; a failure needs an operator (exit 6).",
         .is_secret = true}
    ),
    text_key<service, &service::cutover, &cutover_config::abort_command>(
        {.name = "cutover.abort_command",
         .is_reloadable = reloadable,
         .doc = "Shell command after a cutover went back; a failure is reported.",
         .is_secret = true}
    ),
    choice_key<service, pinned_policy, &service::cutover, &cutover_config::on_pinned>(
        {.name = "cutover.on_pinned",
         .type = "abort | terminate | wait",
         .initial = "abort",
         .is_reloadable = reloadable,
         .doc = "What a cutover does about sessions that cannot be moved."}
    ),
    text_key<service, &service::cutover, &cutover_config::promote_command>(
        {.name = "cutover.promote_command",
         .is_reloadable = reloadable,
         .doc = "Shell command that promotes the new backend (`kind: physical`); without it "
                "pg_promote() is called.",
         .is_secret = true}
    ),
};

}  // namespace

std::vector<config_key<service_config>> cutover_keys() {
    return {std::begin(rows), std::end(rows)};
}

}  // namespace pgsluice::control
