// What a cutover consists of: one table, in order, with who needs each step and for how long.
#include "control/cutover/steps.hpp"
#include "control/records/admission.hpp"

#include <array>
#include <utility>

namespace pgsluice::control {

namespace {

using std::chrono::milliseconds;

bool always(const cutover_request&) {
    return true;
}
bool for_cutover(const cutover_request& r) {
    return !r.retarget;
}
bool for_replication(const cutover_request& r) {
    return !r.retarget && r.replication != replication_kind::none;
}
bool for_logical(const cutover_request& r) {
    return !r.retarget && r.replication == replication_kind::logical;
}
bool for_physical(const cutover_request& r) {
    return !r.retarget && r.replication == replication_kind::physical;
}

bool for_fenced_target(const cutover_request& r) {
    return !r.retarget && r.to_fence.has_value();
}

bool for_fence(const cutover_request& r) {
    return !r.retarget && r.fence != fence_method::none;
}
bool for_before(const cutover_request& r) {
    return !r.retarget && r.has_before;
}
bool for_prewarm(const cutover_request& r) {
    return !r.retarget && !r.prewarm.empty();
}
bool for_after(const cutover_request& r) {
    return !r.retarget && r.has_after;
}

bool for_way_back(const cutover_request& r) {
    return r.way_back;
}

bool for_two_passes(const cutover_request& r) {
    return r.long_transaction.count() > 0;
}

/// Long enough for one fsync or one turn of every worker; such steps do not wait for others.
milliseconds immediate(const cutover_request&) {
    return milliseconds{10'000};
}

/// Longer than a session tries itself before it gives up.
milliseconds arrival(const cutover_request&) {
    return milliseconds{30'000};
}

template <milliseconds cutover_request::*Member>
milliseconds allowed(const cutover_request& r) {
    return r.*Member;
}

constexpr std::string_view nothing = "-";
using request = cutover_request;

constexpr std::array<step, 24> table{{
    {"preflight",
     for_cutover,
     allowed<&request::preflight_timeout>,
     steps::preflight,
     "log in to both servers, check roles, replication, versions, connection limits",
     nothing},
    {"before",
     for_before,
     allowed<&request::hook_timeout>,
     steps::before,
     "run before_command",
     nothing},
    {"prewarm",
     for_prewarm,
     allowed<&request::prewarm_timeout>,
     steps::prewarm,
     "read the relations of `prewarm` into the new server's memory",
     nothing},
    {"begin",
     always,
     immediate,
     steps::begin,
     "journal the intent and what lowering the fence must restore",
     "journal the abort"},
    {"lift",
     for_fenced_target,
     allowed<&request::fence_timeout>,
     steps::lift,
     "lower the fence that an earlier cutover left on the new server",
     "raise it again"},
    {"prepare_back",
     for_way_back,
     allowed<&request::way_back_timeout>,
     steps::prepare_back,
     "make a slot on the new server and a disabled subscription to it on the old one",
     "drop both"},
    {"prepare",
     always,
     allowed<&request::prepare_timeout>,
     steps::prepare,
     "log in to the new server for every session and copy its state, while traffic continues",
     "close those connections"},
    {"drain_long",
     for_two_passes,
     allowed<&request::drain_timeout>,
     steps::drain_long,
     "park the sessions with long transactions, while all others continue",
     "release them"},
    {"refresh",
     always,
     allowed<&request::prepare_timeout>,
     steps::refresh,
     "copy again the sessions that have changed since, while traffic continues",
     nothing},
    {"drain",
     always,
     allowed<&request::drain_timeout>,
     steps::drain,
     "close the gate, wait until every session is parked at a transaction boundary",
     "open the gate"},
    {"verdict",
     always,
     allowed<&request::verdict_timeout>,
     steps::verdict,
     "bring every parked session up to date: movable or pinned",
     nothing},
    {"fence",
     for_fence,
     allowed<&request::fence_timeout>,
     steps::fence,
     "fence the old server, end sessions that bypass the proxy, try to write",
     "lower the fence"},
    {"catch_up",
     for_replication,
     allowed<&request::catch_up_timeout>,
     steps::catch_up,
     "write a marker on the old server, wait until the new one has applied it",
     nothing},
    {"sequences",
     for_logical,
     allowed<&request::sequences_timeout>,
     steps::sequences,
     "copy sequence values",
     nothing},
    {"promote",
     for_physical,
     allowed<&request::promote_timeout>,
     steps::promote,
     "promote the standby",
     "none: rebuild the standby"},
    {"verify",
     for_cutover,
     allowed<&request::verify_timeout>,
     steps::verify,
     "commit a write on the new server",
     nothing},
    {"mark_back",
     for_way_back,
     allowed<&request::verify_timeout>,
     steps::mark_back,
     "move that slot past everything that came from the old server",
     nothing},
    {"commit",
     always,
     immediate,
     steps::commit,
     "journal the new route: THE commit point",
     "none from here on"},
    {"move", always, immediate, steps::move, "switch every session to its new connection", "none"},
    {"open", always, immediate, steps::open, "open the gate", "none"},
    {"arrive",
     always,
     arrival,
     steps::arrive,
     "fetch what the old server still has for sessions that listen or hold locks",
     "none"},
    {"unsubscribe",
     for_logical,
     allowed<&request::unsubscribe_timeout>,
     steps::unsubscribe,
     "disable the subscription",
     "none"},
    {"follow_back",
     for_way_back,
     allowed<&request::way_back_timeout>,
     steps::follow_back,
     "start reverse replication, so that `rollback` loses nothing",
     "none"},
    {"after",
     for_after,
     allowed<&request::hook_timeout>,
     steps::after,
     "run after_command",
     "none"},
}};

}  // namespace

std::vector<step> steps_for(const cutover_request& asked) {
    std::vector<step> needed;
    for (const step& one : table) {
        if (one.needed(asked)) {
            needed.push_back(one);
        }
    }
    return needed;
}

namespace {

/// What this cutover's fence does and how that is undone.
std::pair<std::string_view, std::string_view> fence_words(fence_method method) {
    switch (method) {
    case fence_method::none:
        break;
    case fence_method::default_read_only:
        return {
            "make the old server read-only, end sessions that bypass the proxy, try to write",
            "restore default_transaction_read_only"};
    case fence_method::lock_tables:
        return {
            "make the old server read-only, end sessions that bypass the proxy, lock every table "
            "until the switch, try to write",
            "unlock the tables, restore default_transaction_read_only"};
    case fence_method::revoke_connect:
        return {
            "revoke CONNECT from everybody on the old server, end sessions that bypass the proxy",
            "grant it again"};
    case fence_method::command:
        return {
            "run fence_command, end sessions that bypass the proxy, try to write",
            "run unfence_command"};
    }
    return {};
}

}  // namespace

std::vector<planned_step> make_plan(const cutover_request& request) {
    std::vector<planned_step> plan;
    for (const step& one : steps_for(request)) {
        std::string after;
        if (one.run == steps::open && request.admit_after) {
            after = " for " + ranges_of(*request.admit_after) + ", hold all others";
        }
        if (one.run == steps::open && request.read_only_after) {
            after += "; all clients are read-only until `readonly off`";
        }
        const auto [does, undo] = one.run == steps::fence ? fence_words(request.fence)
                                                          : std::pair(one.does, one.undo_text);
        plan.push_back(
            {std::string(one.name),
             one.allowed(request),
             std::nullopt,
             std::string(does) + after,
             std::string(undo)}
        );
    }
    return plan;
}

}  // namespace pgsluice::control
