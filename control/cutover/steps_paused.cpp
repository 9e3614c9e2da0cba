// The steps while every session stands still, up to the commit point. Each of them counts as a
// stall for every client, so none opens a connection or plans a statement that preflight could
// have.
#include "control/cutover/steps.hpp"

#include <algorithm>

namespace pgsluice::control::steps {

namespace {

using clock = limits::clock;
using std::chrono::milliseconds;

/// One attempt of an undo; a server that is stopped must not use up the whole patience at once.
constexpr milliseconds undo_attempt{5'000};
/// The one that is left when the process was told to end.
constexpr milliseconds last_attempt{2'000};

clock::time_point patience_ends(const cutover_state& state) {
    const bool paused = state.closed_at != clock::time_point{};
    return (paused ? state.closed_at : clock::now()) + state.asked.hold_timeout;
}

}  // namespace

step_result<std::string> fence(cutover_state& state, limits until) {
    if (state.world.servers.same_server()) {
        return state.asked.from + " and " + state.asked.to + " are one server: nothing to fence";
    }
    state.fenced = true;
    return state.world.servers.fence(
        state.memory,
        [&state] { return state.world.service.backend_pids(state.asked.from_backend); },
        until
    );
}

void undo_fence(cutover_state& state) {
    const clock::time_point end = patience_ends(state);
    const bool is_command = state.memory.method == fence_method::command;
    const milliseconds one_attempt = is_command ? state.asked.hook_timeout : undo_attempt;
    while (state.fenced) {
        const bool is_last = state.world.stopping.load() || clock::now() >= end;
        const limits attempt =
            is_last ? limits{clock::now() + last_attempt, nullptr}
                    : limits{std::min(end, clock::now() + one_attempt), &state.world.stopping};
        auto ok = state.world.servers.unfence(state.memory, attempt);
        if (ok) {
            state.fenced = false;
            return;
        }
        // Opening now would hand every client 25006; a server that does not answer at all can hurt
        // nobody more than the pause does.
        if (is_last) {
            state.report.fence_left = state.memory;
            return;
        }
        show(
            state,
            "unfence",
            state.asked.from + " still refuses writes, trying again: " + ok.error().text
        );
        const limits nap{
            std::min(end, clock::now() + state.asked.undo_interval), &state.world.stopping};
        wait_for(
            state, [](const proxy::service_progress&) { return false; }, nap
        );
    }
}

step_result<std::string> catch_up(cutover_state& state, limits until) {
    auto marker = state.world.servers.mark(state.asked.id, until);
    if (!marker) {
        return marker.error();
    }
    state.marker = *marker;
    if (auto ok = state.world.servers.catch_up(*marker, until); !ok) {
        return ok.error();
    }
    return state.asked.to + " has applied everything up to " + lsn_text(*marker);
}

step_result<std::string> sequences(cutover_state& state, limits until) {
    return state.world.servers.copy_sequences(until);
}

step_result<std::string> promote(cutover_state& state, limits until) {
    state.promoted = true;
    if (auto ok = append(state, {.kind = record_kind::promoting}); !ok) {
        state.promoted = false;
        return ok.error();
    }
    if (state.fenced) {
        state.world.service.hear_out();  // the old server has nothing else to do meanwhile
    }
    if (auto ok = state.world.servers.promote(until); !ok) {
        return ok.error();
    }
    state.world.service.mark_promoted();
    return state.asked.to + " promoted";
}

step_result<std::string> verify(cutover_state& state, limits until) {
    if (auto ok = state.world.servers.verify(until); !ok) {
        return ok.error();
    }
    return state.asked.to + " accepts writes";
}

step_result<std::string> mark_back(cutover_state& state, limits until) {
    if (auto ok = state.world.servers.mark_way_back(until); !ok) {
        return ok.error();
    }
    return "what is written on " + state.asked.to + " from here on goes to " + state.asked.from;
}

}  // namespace pgsluice::control::steps
