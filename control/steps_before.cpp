// The steps before the pause and the pause itself: everything up to the moment when all sessions
// stand still and each has its verdict. Nothing here changes a server.
#include "control/preflight.hpp"
#include "control/steps.hpp"

#include <algorithm>
#include <set>

namespace pgsluice::control::steps {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds wait_backoff_last{2'000};
/// How soon a transaction that has become long is noticed.
constexpr milliseconds look_again_after{20};
/// How much a session's age may be too small: the data plane reads a coarse clock.
constexpr milliseconds coarse{20};

step_result<void> refuse_errors(const std::vector<check_row>& checks) {
    step_failure refusal{setback::refused, "", "", {}};
    for (const check_row& row : checks) {
        if (row.level == check_level::error) {
            refusal.rows.push_back(row.name + ": " + row.text);
            refusal.hint = refusal.hint.empty() ? row.hint : refusal.hint;
        }
    }
    if (refusal.rows.empty()) {
        return {};
    }
    refusal.text = counted(refusal.rows.size(), "check") + " failed: " + refusal.rows.front();
    return refusal;
}

/// Sessions whose setting names matter are in these databases.
std::vector<std::string> databases_in_use(traffic& service) {
    std::set<std::string> names;
    for (const proxy::session_info& session : service.sessions()) {
        if (!session.database.empty()) {
            names.insert(session.database);
        }
    }
    return {names.begin(), names.end()};
}

/// Whether the fence of an earlier cutover stands. A setting may have been reset by hand.
bool is_new_server_fenced(const cutover_state& state) {
    const auto& fence = state.asked.to_fence;
    return fence && (!is_setting(fence->method) || state.world.servers.is_new_read_only());
}

}  // namespace

step_result<std::string> preflight(cutover_state& state, limits until) {
    auto checks = state.world.servers.preflight(expect(state.world.service, state.asked), until);
    if (!checks) {
        return checks.error();
    }
    state.report.checks = *checks;
    if (auto ok = refuse_errors(*checks); !ok) {
        return ok.error();
    }
    const auto databases = databases_in_use(state.world.service);
    auto names = state.world.servers.custom_settings(databases, until);
    if (!names) {
        return names.error();
    }
    state.world.service.learn_custom_settings(*names);
    if (auto ok = state.world.servers.prepare(until); !ok) {
        return ok.error();
    }
    const auto warnings = std::count_if(checks->begin(), checks->end(), [](const check_row& row) {
        return row.level == check_level::warning;
    });
    return counted(checks->size(), "check") + ", " +
           counted(static_cast<std::size_t>(warnings), "warning");
}

step_result<std::string> before(cutover_state& state, limits until) {
    if (auto ok = state.world.servers.run_hook(hook_kind::before, "", until); !ok) {
        return ok.error();
    }
    return std::string("before_command is content");
}

step_result<std::string> prewarm(cutover_state& state, limits until) {
    return state.world.servers.prewarm(until);
}

step_result<std::string> begin(cutover_state& state, limits until) {
    cutover_record record{.kind = record_kind::begun};
    if (state.asked.fence_left) {
        record.fence = state.memory = *state.asked.fence_left;
    }
    if (state.asked.fence_left && !state.asked.retarget) {
        auto lowered = state.world.servers.unfence(state.memory, until);
        if (!lowered) {
            return lowered.error();
        }
        state.report.fence_left.reset();
    }
    if (!state.asked.retarget && state.asked.fence != fence_method::none) {
        auto memory = state.world.servers.read_fence(until);
        if (!memory) {
            return memory.error();
        }
        state.memory = *memory;
        record.fence = *memory;
    }
    if (is_new_server_fenced(state)) {
        record.to_fence = state.asked.to_fence;
    }
    record.way_back = state.asked.way_back;
    // The fence's undo information is on disk before anybody waits: one fsync less in the pause.
    if (auto ok = append(state, std::move(record)); !ok) {
        return ok.error();
    }
    state.begun = true;
    return std::string("journaled");
}

step_result<std::string> lift(cutover_state& state, limits until) {
    if (!is_new_server_fenced(state)) {
        return state.asked.to + " is writable already";
    }
    state.lifted = state.asked.to_fence;
    return state.world.servers.lift(*state.lifted, until);
}

void undo_lift(cutover_state& state) {
    if (!state.lifted) {
        return;
    }
    const bool is_command = state.lifted->method == fence_method::command;
    const milliseconds patience = is_command ? state.asked.hook_timeout : milliseconds{2'000};
    const limits until{limits::clock::now() + patience, nullptr};
    auto ok = state.world.servers.undo_lift(*state.lifted, until);
    state.lift_stays = ok ? "" : ok.error().text;
    state.lifted.reset();
}

step_result<std::string> prepare_back(cutover_state& state, limits until) {
    state.back_prepared = true;
    if (auto ok = state.world.servers.prepare_way_back(until); !ok) {
        return ok.error();
    }
    return state.asked.from + " is ready to follow " + state.asked.to;
}

void undo_prepare_back(cutover_state& state) {
    if (!state.back_prepared) {
        return;
    }
    constexpr milliseconds patience{5'000};
    auto ok = state.world.servers.undo_way_back({limits::clock::now() + patience, nullptr});
    state.back_stays = ok ? "" : ok.error().text;
    state.back_prepared = false;
}

step_result<std::string> prepare(cutover_state& state, limits until) {
    const bool standby =
        !state.asked.retarget && state.asked.replication == replication_kind::physical;
    state.ordered = true;
    state.world.service.order_move({.id = 1, .to = state.asked.to_backend, .standby = standby});
    const bool all = wait_for(
        state, [](const proxy::service_progress& p) { return p.preparing == 0; }, until
    );
    if (until.stopped()) {
        return stopped_or_late(until, "");
    }
    const auto sessions = state.world.service.sessions();
    auto pinned = session_rows(sessions, has_pins);
    if (!pinned.empty() && state.asked.on_pinned == pinned_policy::abort) {
        return step_failure{
            setback::refused,
            "sessions that cannot be moved, nobody was paused (on_pinned: abort)",
            "let them end, or choose --on-pinned terminate or wait",
            std::move(pinned)};
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
    return counted(left, "session") + " turned out to be long: gate open, once more";
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
        counted(left, "session") + " with long transactions did not come to a boundary in time"
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
