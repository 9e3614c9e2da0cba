// The commit point and what follows it. Nothing here leads back.
#include "control/cutover/steps.hpp"
#include "control/records/admission.hpp"

#include <algorithm>

namespace pgsluice::control::steps {

namespace {

std::uint64_t next_generation(const cutover_state& state) {
    return state.world.service.current_route().generation + 1;
}

proxy::farewell to_left_behind(const cutover_request& asked) {
    return {
        .sqlstate = "57P01",
        .message = "terminating connection due to administrator command",
        .detail = "Service \"" + asked.service + "\" moved from \"" + asked.from + "\" to \"" +
                  asked.to + "\" and the state of this session could not be moved.",
        .hint = "Reconnect: new sessions work."};
}

}  // namespace

step_result<std::string> commit(cutover_state& state, limits) {
    const std::uint64_t generation = next_generation(state);
    auto ok = append(
        state,
        {.kind = record_kind::committed,
         .generation = generation,
         .admit = state.asked.admit_after,
         .read_only = state.asked.read_only_after}
    );
    if (!ok) {
        return ok.error();
    }
    state.committed = true;
    return "generation " + std::to_string(generation) + " is on disk";
}

step_result<std::string> move(cutover_state& state, limits) {
    if (state.asked.admit_after) {  // the gate is closed: nobody outside can slip through
        state.world.service.admit(*state.asked.admit_after);
    }
    const proxy::route to{.backend = state.asked.to_backend, .generation = next_generation(state)};
    state.world.service.commit_move(to, to_left_behind(state.asked));
    if (state.asked.read_only_after) {  // the gate is closed: nobody has written there yet
        state.world.service.set_read_only(true);
    }
    const proxy::service_progress now = state.world.service.progress();
    state.ordered = false;
    return counted(now.switched, "session") + " moved, " + std::to_string(now.to_switch) +
           " will follow";
}

step_result<std::string> open(cutover_state& state, limits) {
    const bool was_open = state.gate_closed;
    if (was_open) {
        state.world.service.open_gate();
        state.gate_closed = false;
    }
    state.opened_at = limits::clock::now();
    state.world.servers.let_go();
    if (!was_open) {
        return std::string("stays closed, as it was before");
    }
    const std::string how = state.asked.read_only_after ? ", read-only" : "";
    if (!state.asked.admit_after) {
        return "clients go on" + how;
    }
    return "clients of " + ranges_of(*state.asked.admit_after) + " go on" + how +
           ", all others are held";
}

step_result<std::string> arrive(cutover_state& state, limits until) {
    const bool all = wait_for(
        state, [](const proxy::service_progress& p) { return p.to_switch == 0; }, until
    );
    const proxy::service_progress now = state.world.service.progress();
    state.report.switched = now.switched;
    state.report.lost = now.lost;
    if (!all) {
        return stopped_or_late(
            until, counted(now.to_switch, "session") + " did not follow in time"
        );
    }
    return counted(now.switched, "session") + " moved, " + std::to_string(now.lost) + " lost";
}

step_result<std::string> unsubscribe(cutover_state& state, limits until) {
    if (auto ok = state.world.servers.unsubscribe(until); !ok) {
        return ok.error();
    }
    return state.asked.to + " no longer follows " + state.asked.from;
}

step_result<std::string> after(cutover_state& state, limits until) {
    if (auto ok = state.world.servers.run_hook(hook_kind::after, "", until); !ok) {
        return ok.error();
    }
    return std::string("after_command is content");
}

step_result<std::string> follow_back(cutover_state& state, limits until) {
    if (auto ok = state.world.servers.follow_back(until); !ok) {
        step_failure why = ok.error();
        why.text = "reverse replication is not running: " + why.text;
        if (why.hint.empty()) {
            why.hint = "when " + state.asked.from + " is back, enable its subscription";
        }
        return why;
    }
    return state.asked.from + " follows " + state.asked.to + ": `rollback` leads back";
}

}  // namespace pgsluice::control::steps
