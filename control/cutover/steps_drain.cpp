// The steps from the first copy of a session to the moment when all sessions stand still and each
// has its verdict. Nothing here changes a server.
#include "control/cutover/steps.hpp"

#include <algorithm>
#include <limits>

namespace pgsluice::control::steps {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds wait_backoff_last{2'000};
/// How soon a transaction that has become long is noticed.
constexpr milliseconds look_again_after{20};
/// How much a session's age may be too small: the data plane reads a coarse clock.
constexpr milliseconds coarse{20};

bool is_none_preparing(const proxy::service_progress& now) {
    return now.preparing == 0;
}

/// Under the policy `abort` a session that is pinned now ends the cutover before anybody waits.
step_result<void> refuse_pinned(cutover_state& state) {
    if (state.asked.on_pinned != pinned_policy::abort) {
        return {};
    }
    auto pinned = session_rows(state.world.service.sessions(), has_pins);
    if (pinned.empty()) {
        return {};
    }
    return step_failure{
        setback::refused,
        "sessions that cannot be moved, nobody was paused (on_pinned: abort)",
        "let them end, or choose --on-pinned terminate or wait",
        std::move(pinned)};
}

}  // namespace

step_result<std::string> prepare(cutover_state& state, limits until) {
    const bool standby =
        !state.asked.retarget && state.asked.replication == replication_kind::physical;
    state.ordered = true;
    state.world.service.order_move({.id = 1, .to = state.asked.to_backend, .standby = standby});
    const bool all = wait_for(state, is_none_preparing, until);
    if (until.stopped()) {
        return stopped_or_late(until, "");
    }
    if (auto ok = refuse_pinned(state); !ok) {
        return ok.error();
    }
    const proxy::service_progress now = state.world.service.progress();
    return std::to_string(now.prepared) + " of " + counted(now.sessions, "session") +
           " prepared ahead" + (all ? "" : ", the rest follows in the pause");
}

void undo_prepare(cutover_state& state) {
    if (state.ordered) {
        state.world.service.cancel_move();
        state.ordered = false;
    }
}

namespace {

/// One deadline for both passes.
limits drain_limits(cutover_state& state, const limits& step) {
    if (state.drain_ends == limits::clock::time_point{}) {
        state.drain_ends = limits::clock::now() + state.asked.drain_timeout;
    }
    return {std::min(step.deadline, state.drain_ends), step.aborted};
}

/// The gate is closed, somebody's transaction turns out to be a long one: rather than let everybody
/// wait for it, the gate opens and the first pass begins anew.
step_result<std::string> drain_again(cutover_state& state, std::uint32_t left) {
    undo_drain(state);
    state.start_over = true;
    return counted(left, "session") + " with long transactions; reopened the gate, parking again";
}

}  // namespace

/// Nobody with short transactions shall wait for somebody else's long one.
step_result<std::string> drain_long(cutover_state& state, limits until) {
    until = drain_limits(state, until);
    traffic& service = state.world.service;
    if (!service.gate_open()) {
        return std::string("the gate is closed already");
    }
    const milliseconds threshold = state.asked.long_transaction;
    state.gate_closed = true;
    const auto nobody_left = [](const proxy::service_progress& p) {
        return p.long_running == 0;
    };
    for (;;) {
        service.hold_long(threshold);
        if (nobody_left(service.progress())) {
            return counted(service.progress().parked, "session") + " parked ahead";
        }
        const limits nap{
            std::min(until.deadline, limits::clock::now() + look_again_after), until.aborted};
        wait_for(state, nobody_left, nap);
        if (until.stopped() || until.passed()) {
            break;
        }
    }
    const auto left = service.progress().long_running;
    step_failure late = stopped_or_late(
        until,
        left == 0 ? "no time was left to park sessions ahead"
                  : counted(left, "session") +
                        " with long transactions did not come to a boundary in time"
    );
    // Those that were at work when the pass began count as long, however brief it was.
    const auto begun = state.drain_ends - state.asked.drain_timeout;
    const auto age = std::min<limits::clock::duration>(threshold, limits::clock::now() - begun);
    auto sessions = service.sessions();
    std::erase_if(sessions, [age](const proxy::session_info& session) {
        return session.phase_age + coarse < age;
    });
    late.rows = session_rows(sessions, blocks_drain);
    return late;
}

/// What a session does while the others are copied makes its own copy stale. Each pass takes the
/// less time the fewer are behind, so it finds fewer still, unless everybody is always busy.
step_result<std::string> refresh(cutover_state& state, limits until) {
    constexpr int passes_max = 4;
    traffic& service = state.world.service;
    if (!service.gate_open()) {
        return std::string("the gate is closed already");
    }
    const auto now = limits::clock::now();
    until = drain_limits(state, until);
    until.deadline = now + (until.deadline - now) / 2;  // the drain wants its share
    std::size_t copied = 0;
    std::size_t behind_before = std::numeric_limits<std::size_t>::max();
    for (int pass = 0; pass < passes_max && !until.passed(); ++pass) {
        const std::size_t behind = service.refresh_move();
        copied += behind;
        wait_for(state, is_none_preparing, until);
        if (until.stopped()) {
            return stopped_or_late(until, "");
        }
        if (behind == 0 || behind > behind_before / 2) {
            break;
        }
        behind_before = behind;
    }
    if (auto ok = refuse_pinned(state); !ok) {
        return ok.error();
    }
    return counted(copied, "session") + " copied again";
}

step_result<std::string> drain(cutover_state& state, limits until) {
    state.closed_at = limits::clock::now();
    state.parked_at = state.opened_at = {};
    for (step_report& earlier : state.report.steps) {
        earlier.in_pause = false;
    }
    if (state.world.service.gate_open()) {
        state.gate_closed = true;
        state.world.service.close_gate();
    }
    until = drain_limits(state, until);
    if (state.asked.pause_limit.count() > 0) {
        until.deadline = std::min(until.deadline, state.closed_at + state.asked.pause_limit);
    }
    const milliseconds patience = state.asked.long_transaction;
    const bool is_ours = state.gate_closed && patience.count() > 0;
    const limits attempt{
        is_ours ? std::min(until.deadline, state.closed_at + patience) : until.deadline,
        until.aborted};
    const bool parked = wait_for(
        state, [](const proxy::service_progress& p) { return p.parked >= p.sessions; }, attempt
    );
    const proxy::service_progress now = state.world.service.progress();
    if (!parked && !until.passed() && !until.stopped()) {
        return drain_again(state, now.sessions - std::min(now.parked, now.sessions));
    }
    if (!parked) {
        step_failure late = stopped_or_late(
            until,
            counted(now.sessions - std::min(now.parked, now.sessions), "session") +
                " did not come to a boundary in time"
        );
        const auto sessions = state.world.service.sessions();
        late.rows = session_rows(sessions, blocks_drain);
        return late;
    }
    state.parked_at = limits::clock::now();
    return counted(now.parked, "session") + " parked, " + counted(now.held, "client") + " held";
}

void undo_drain(cutover_state& state) {
    if (state.gate_closed) {
        state.world.service.open_gate();
        state.gate_closed = false;
    }
    state.opened_at = limits::clock::now();
}

namespace {

/// Whether any pinned session of `before` has ended or done something since `then`: only that can
/// have made it movable. Its pins are looked at again in the next pause.
bool anything_happened(
    const std::vector<proxy::session_info>& before,
    const std::vector<proxy::session_info>& now,
    limits::clock::time_point then
) {
    if (std::none_of(before.begin(), before.end(), has_pins)) {
        return true;  // nobody is pinned, somebody was merely not ready
    }
    constexpr milliseconds slack{5};  // ages are coarse: better one drain more than one less
    const auto since = std::chrono::duration_cast<milliseconds>(limits::clock::now() - then);
    return std::any_of(before.begin(), before.end(), [&](const proxy::session_info& session) {
        const auto same = std::find_if(now.begin(), now.end(), [&](const proxy::session_info& s) {
            return s.id == session.id;
        });
        const bool idle = same != now.end() && same->phase == proxy::session_phase::idle;
        return has_pins(session) && (!idle ? same == now.end() : same->phase_age < since + slack);
    });
}

/// The gate is open again: waits until a pinned session may have become movable, then asks for
/// another drain; less and less often, for each drain pauses everybody.
step_result<std::string>
wait_for_pinned(cutover_state& state, const std::vector<proxy::session_info>& sessions) {
    const auto pinned =
        static_cast<std::size_t>(std::count_if(sessions.begin(), sessions.end(), has_pins));
    undo_drain(state);
    state.drain_ends = {};
    const limits::clock::time_point opened = limits::clock::now();
    show(state, "verdict", counted(pinned, "pinned session") + ": gate open, waiting for them");
    const limits until{state.overall, &state.world.aborted};
    while (!until.passed() && !until.stopped()) {
        const limits nap{
            std::min(until.deadline, limits::clock::now() + state.wait_backoff), until.aborted};
        wait_for(
            state, [](const proxy::service_progress&) { return false; }, nap
        );
        if (anything_happened(sessions, state.world.service.sessions(), opened)) {
            state.wait_backoff = std::min(state.wait_backoff * 2, wait_backoff_last);
            state.start_over = true;
            return std::string("a pinned session has ended or changed: draining again");
        }
    }
    step_failure late = stopped_or_late(until, "sessions that cannot be moved did not end in time");
    late.rows = session_rows(sessions, has_pins);
    return late;
}

}  // namespace

step_result<std::string> verdict(cutover_state& state, limits until) {
    const bool final = wait_for(
        state,
        [](const proxy::service_progress& p) {
            return p.settled + p.pinned + p.unready >= p.sessions;
        },
        until
    );
    const proxy::service_progress now = state.world.service.progress();
    const auto sessions = state.world.service.sessions();
    if (!final) {
        const auto open =
            now.sessions - std::min(now.sessions, now.settled + now.pinned + now.unready);
        return stopped_or_late(until, "no verdict on " + counted(open, "session") + " in time");
    }
    state.report.sessions = now.sessions;
    const std::size_t left = now.pinned + now.unready;
    if (left == 0) {
        return counted(now.settled, "session") + " ready to move";
    }
    auto rows = session_rows(sessions, has_pins);
    switch (state.asked.on_pinned) {
    case pinned_policy::wait:
        return wait_for_pinned(state, sessions);
    case pinned_policy::terminate:
        state.report.left_behind = std::move(rows);
        return counted(now.settled, "session") + " ready to move, " + std::to_string(left) +
               " will be ended (on_pinned: terminate)";
    case pinned_policy::abort:
        break;
    }
    return step_failure{
        setback::refused,
        counted(left, "session") + " cannot be moved (on_pinned: abort)",
        "let them end, or choose --on-pinned terminate or wait",
        std::move(rows)};
}

}  // namespace pgsluice::control::steps
