// The runner: walks the plan forwards, and on a failure before the commit point takes back what
// there is to take back:
//
//   unfence the old server -> drop the move order -> open the gate -> fence the new server again,
//   drop what was prepared for a way back -> journal "aborted"
//
// The record comes last: a death before it is taken up by the next start, which does all of this
// again; after it nobody would.
// A restart after a crash walks the same way back, or, with a commit record, the rest forward.
#include "control/cutover/runner.hpp"

#include "control/base/duration.hpp"
#include "control/cutover/steps.hpp"

#include <algorithm>

namespace pgsluice::control {

namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using clock = limits::clock;

microseconds since(clock::time_point start) {
    return std::chrono::duration_cast<microseconds>(clock::now() - start);
}

/// Between a close of the gate and its opening.
bool is_holding(const cutover_state& state) {
    return state.closed_at != clock::time_point{} && state.opened_at == clock::time_point{};
}

limits limits_of(const cutover_state& state, const step& one) {
    const clock::time_point own = clock::now() + one.allowed(state.asked);
    if (state.committed) {
        return {own, nullptr};
    }
    clock::time_point end = std::min(own, state.overall);
    if (is_holding(state) && state.asked.pause_limit.count() > 0) {
        end = std::min(end, state.closed_at + state.asked.pause_limit);
    }
    return {end, &state.world.aborted};
}

step_result<std::string> perform(cutover_state& state, const step& one) {
    if (!state.committed && state.world.aborted.load()) {
        return step_failure{setback::aborted, "aborted by the operator", "", {}};
    }
    const std::string point = "cutover:" + std::string(one.name);
    auto fault = state.world.watcher.fault(point + ":before");
    if (!fault && !state.committed) {
        return fault.error();
    }
    auto done = one.run(state, limits_of(state, one));
    if (!done || !fault) {
        return done ? step_result<std::string>(fault.error()) : done;
    }
    if (fault = state.world.watcher.fault(point + ":after"); !fault) {
        return fault.error();
    }
    return done;
}

/// A step can be late although it has hardly begun: those before it took the time.
step_failure with_whose_time(const cutover_state& state, step_failure failure) {
    const bool is_over = !state.committed && clock::now() >= state.overall;
    if (is_over && failure.why == setback::deadline) {
        failure.text += "; earlier steps used the whole --timeout (" +
                        format_duration(state.asked.timeout) + ")";
    }
    return failure;
}

/// Runs one step and writes down how long it took; its failure comes back with its name.
step_result<void> run_step(cutover_state& state, const step& one) {
    show(state, one.name, std::string(one.does));
    const clock::time_point start = clock::now();
    const bool was_paused = is_holding(state);
    step_result<std::string> done = perform(state, one);
    if (!done) {
        done = with_whose_time(state, done.error());
    }
    const bool is_paused = was_paused || is_holding(state);
    const std::string text = done ? *done : done.error().text;
    state.report.steps.push_back({std::string(one.name), since(start), text, is_paused});
    show(state, one.name, text, true);
    if (done) {
        return {};
    }
    step_failure failure = done.error();
    failure.text = std::string(one.name) + ": " + failure.text;
    return failure;
}

/// The steps whose time is not the proxy's: others have to do something.
bool waits_for_servers(const step_report& one) {
    return one.name == "catch_up" || one.name == "promote";
}

microseconds between(clock::time_point start, clock::time_point end) {
    return std::chrono::duration_cast<microseconds>(end - start);
}

/// The figures of the last pause, as far as it has come.
pause_figures figures_of(const cutover_state& state) {
    pause_figures pause;
    if (state.closed_at == clock::time_point{}) {
        return pause;
    }
    const bool is_open = state.opened_at != clock::time_point{};
    const clock::time_point end = is_open ? state.opened_at : clock::now();
    const bool all_parked = state.parked_at != clock::time_point{};
    pause.held = between(state.closed_at, end);
    pause.drained = all_parked ? between(state.closed_at, state.parked_at) : pause.held;
    for (const step_report& one : state.report.steps) {
        pause.waited += one.in_pause && waits_for_servers(one) ? one.took : microseconds{0};
    }
    pause.added = pause.held - pause.drained - pause.waited;
    return pause;
}

/// What could not be taken back on the new server, or never can be; beginning with "; ".
std::string what_stays(const cutover_state& state) {
    std::string text;
    if (state.promoted) {
        text += "; " + state.asked.to + " may have been promoted and must be rebuilt";
    }
    if (!state.lift_stays.empty()) {
        text += "; " + state.asked.to + " is not read-only any more: " + state.lift_stays;
    }
    if (!state.back_stays.empty()) {
        text += "; what was prepared for reverse replication stays: " + state.back_stays;
    }
    return text;
}

/// The journal's last word on an abort. Without it a restart takes everything back once more, which
/// does no harm, and is what an old server that still refuses writes needs.
void journal_abort(cutover_state& state, const std::string& why) {
    if (!state.begun || state.report.fence_left) {
        return;
    }
    auto ok = append(
        state,
        {.kind = record_kind::aborted,
         .text = why + what_stays(state),
         .steps = state.report.steps,
         .pause = figures_of(state)}
    );
    if (!ok) {
        state.report.hint = ok.error().text;
    }
}

/// The gate is open and the old server still refuses writes, because it could not be reached: tries
/// on, unless it was an abort or a shutdown that led here, or as soon as there is one.
void keep_unfencing(cutover_state& state, const std::string& why) {
    const clock::time_point end = clock::now() + state.asked.undo_patience;
    while (state.fenced && !state.world.aborted.load() && clock::now() < end) {
        const limits nap{clock::now() + state.asked.undo_interval, &state.world.aborted};
        wait_for(
            state, [](const proxy::service_progress&) { return false; }, nap
        );
        const bool is_command = state.memory.method == fence_method::command;
        const milliseconds allowed = is_command ? state.asked.hook_timeout : milliseconds{5'000};
        const limits attempt{clock::now() + allowed, &state.world.aborted};
        if (state.world.servers.unfence(state.memory, attempt)) {
            state.fenced = false;
            state.report.fence_left.reset();
            journal_abort(state, why);
        }
    }
}

void tell_where_we_are(cutover_state& state, const step_failure& why) {
    cutover_report& report = state.report;
    report.text = why.text + "; back on " + state.asked.from;
    if (report.fence_left) {
        report.text += ", WHICH STILL REFUSES WRITES: it did not answer";
        report.hint = "when " + state.asked.from +
                      " is back: restart pgsluice, or begin another cutover, or " +
                      lowering_by_hand(state.memory);
    }
    report.text += what_stays(state);
    show(state, "abort", report.text, true);
}

/// One part of the way back, between two points where a test may stop or kill the process.
void undo(cutover_state& state, std::string_view name, void (*run)(cutover_state&)) {
    const std::string point = "cutover:undo_" + std::string(name);
    (void)state.world.watcher.fault(point + ":before");
    run(state);
    (void)state.world.watcher.fault(point + ":after");
}

cutover_report go_back(cutover_state& state, const step_failure& why) {
    cutover_report& report = state.report;
    report.exit_code = why.why == setback::deadline ? 5 : 1;
    report.outcome = "aborted";
    report.hint = why.hint;
    report.rows = why.rows;
    show(state, "abort", why.text);
    undo(state, "fence", steps::undo_fence);
    undo(state, "prepare", steps::undo_prepare);
    if (!state.fenced || !state.world.stopping.load()) {
        undo(state, "drain", steps::undo_drain);
    }  // else the process ends: nobody shall hear 25006 in its last moment
    undo(state, "lift", steps::undo_lift);
    undo(state, "prepare_back", steps::undo_prepare_back);
    journal_abort(state, why.text);
    report.pause = figures_of(state);
    if (state.fenced) {
        tell_where_we_are(state, why);
        report.hint = why.hint;
        keep_unfencing(state, why.text);
    }
    report.stalls = state.world.service.stalls();
    tell_where_we_are(state, why);
    if (state.asked.has_abort) {
        const limits until{clock::now() + state.asked.hook_timeout, &state.world.stopping};
        auto ok = state.world.servers.run_hook(hook_kind::abort, why.text, until);
        report.text += ok ? "" : "; " + ok.error().text;
    }
    return report;
}

cutover_report finish(cutover_state& state) {
    cutover_report& report = state.report;
    report.fence_left.reset();  // a server that was left stays fenced
    if (state.fenced) {
        report.fence_stands = state.memory;
    }
    report.pause = figures_of(state);
    report.stalls = state.world.service.stalls();
    report.text = counted(report.switched, "session") + " moved from " + state.asked.from + " to " +
                  state.asked.to;
    std::string notes;
    for (const std::string& note : state.operator_notes) {
        notes += (notes.empty() ? "" : "; ") + note;
    }
    auto ok = append(
        state,
        {.kind = record_kind::done, .text = notes, .steps = report.steps, .pause = report.pause}
    );
    if (!ok) {
        notes += (notes.empty() ? "" : "; ") + ok.error().text;
    }
    report.exit_code = notes.empty() ? 0 : 6;
    report.outcome = notes.empty() ? "done" : "needs-operator";
    if (!notes.empty()) {
        report.text += ", but " + notes;
    }
    show(state, "done", report.text, true);
    return report;
}

/// After the commit point a failure is for the operator to mend; the sequence goes on.
void note(cutover_state& state, const step_failure& failure) {
    state.operator_notes.push_back(failure.text);
    if (state.report.hint.empty()) {
        state.report.hint = failure.hint;
    }
}

cutover_state new_state(const cutover_request& request, cutover_world& world) {
    cutover_state state{.asked = request, .world = world};
    state.started = clock::now();
    state.overall = state.started + request.timeout;
    state.report.fence_left = request.fence_left;
    return state;
}

}  // namespace

void show(cutover_state& state, std::string_view step, std::string text, bool done) {
    const auto elapsed = std::chrono::duration_cast<milliseconds>(clock::now() - state.started);
    state.world.watcher.show({std::string(step), std::move(text), elapsed, done});
}

step_result<void> append(cutover_state& state, cutover_record record) {
    record.id = state.asked.id;
    record.from = state.asked.from;
    record.to = state.asked.to;
    record.retarget = state.asked.retarget;
    return state.world.journal.append(record);
}

bool wait_for(
    cutover_state& state,
    const std::function<bool(const proxy::service_progress&)>& done,
    const limits& until
) {
    // An interrupt meant for an earlier wait may end this one: only the limits count.
    while (!until.stopped()) {
        if (state.world.service.wait(done, until.deadline)) {
            return true;
        }
        if (until.passed()) {
            return false;
        }
    }
    return false;
}

step_failure stopped_or_late(const limits& until, std::string text) {
    if (until.stopped()) {
        return {setback::aborted, "aborted by the operator", "", {}};
    }
    return {setback::deadline, std::move(text), "", {}};
}

cutover_report run_cutover(const cutover_request& request, cutover_world world) {
    cutover_state state = new_state(request, world);
    world.service.count_stalls_anew();
    const std::vector<step> steps = steps_for(request);
    const auto first_drain = std::find_if(steps.begin(), steps.end(), [](const step& one) {
        return one.run == steps::drain_long || one.run == steps::drain;
    });
    for (auto at = steps.begin(); at != steps.end(); ++at) {
        if (auto ok = run_step(state, *at); !ok) {
            if (!state.committed) {
                return go_back(state, ok.error());
            }
            note(state, ok.error());
        }
        if (state.start_over) {
            state.start_over = false;
            at = std::prev(first_drain);
        }
    }
    return finish(state);
}

cutover_report recover_cutover(
    const unfinished_cutover& found, const cutover_request& request, cutover_world world
) {
    cutover_state state = new_state(request, world);
    state.begun = true;
    state.closed_at = state.parked_at = state.started;
    state.gate_closed = !world.service.gate_open();
    state.memory = found.begun.fence.value_or(fence_memory{});
    state.committed = found.committed;
    if (!found.committed) {
        state.fenced = !request.retarget && found.begun.fence.has_value();
        state.promoted = found.promoting;
        state.lifted = request.retarget ? std::nullopt : found.begun.to_fence;
        state.back_prepared = found.begun.way_back;
        return go_back(state, {setback::failed, "the proxy was restarted in the middle", "", {}});
    }
    // The engine was started on the new route: no session has anything to move from.
    for (const step& one : steps_for(request)) {
        if (one.run != steps::open && one.run != steps::unsubscribe &&
            one.run != steps::follow_back && one.run != steps::after) {
            continue;
        }
        if (auto ok = run_step(state, one); !ok) {
            note(state, ok.error());
        }
    }
    return finish(state);
}

}  // namespace pgsluice::control
