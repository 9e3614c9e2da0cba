#pragma once

#include "control/base/words.hpp"
#include "control/cutover/runner.hpp"
#include "control/cutover/session_rows.hpp"

#include <chrono>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::control {

/// What the steps of one running cutover know together. Lives on the stack of run_cutover().
struct cutover_state {
    using clock = limits::clock;

    const cutover_request& asked;
    cutover_world world;
    cutover_report report{};
    clock::time_point started{};
    clock::time_point overall{};  ///< deadline of everything before the commit point

    // What there is to undo; each is set before the step's first effect.
    bool begun = false;                    ///< the journal knows about us
    std::optional<fence_memory> lifted{};  ///< what fenced the new server and does no more
    bool ordered = false;                  ///< the engine has a move order
    bool gate_closed = false;              ///< by us: a gate that was closed before stays closed
    bool fenced = false;
    bool back_prepared = false;  ///< or begun to be: the way back
    bool promoted = false;       ///< or maybe promoted: that cannot be undone
    bool committed = false;

    bool start_over = false;                      ///< the policy `wait` asks for another drain
    std::chrono::milliseconds wait_backoff{250};  ///< before it does so
    fence_memory memory{};
    lsn marker = 0;
    clock::time_point drain_ends{};  ///< of both passes together, however often they are tried
    clock::time_point closed_at{};   ///< the gate's last close; for each further drain anew
    clock::time_point parked_at{};   ///< the last session had parked
    clock::time_point opened_at{};   ///< the gate is open again, or would be if it had been
    std::string lift_stays{};        ///< why the new server's fence could not be put back
    std::string back_stays{};        ///< why what was prepared for it could not be taken away
    std::vector<std::string> operator_notes{};  ///< what went wrong after the commit point
};

/// One step: what it is called, whether this kind of cutover needs it, how long it may take, what
/// it does and how that is undone (in words; go_back() in cutover.cpp does it).
struct step {
    std::string_view name;
    bool (*needed)(const cutover_request&);
    std::chrono::milliseconds (*allowed)(const cutover_request&);
    step_result<std::string> (*run)(cutover_state&, limits);
    std::string_view does;
    std::string_view undo_text;
};

/// The steps that this cutover needs, in order.
std::vector<step> steps_for(const cutover_request& asked);

/// Tells the audience where the cutover is.
void show(cutover_state& state, std::string_view step, std::string text, bool done = false);

/// Appends a record, filling in what every record carries.
step_result<void> append(cutover_state& state, cutover_record record);

/// Waits for the data plane until `done`, the deadline or an abort; true only for the first.
bool wait_for(
    cutover_state& state,
    const std::function<bool(const proxy::service_progress&)>& done,
    const limits& until
);

/// The failure of a wait that ended without success: aborted, or late with `text`.
step_failure stopped_or_late(const limits& until, std::string text);

namespace steps {

step_result<std::string> preflight(cutover_state& state, limits until);
step_result<std::string> before(cutover_state& state, limits until);
step_result<std::string> prewarm(cutover_state& state, limits until);
step_result<std::string> begin(cutover_state& state, limits until);
step_result<std::string> lift(cutover_state& state, limits until);
void undo_lift(cutover_state& state);
step_result<std::string> prepare_back(cutover_state& state, limits until);
void undo_prepare_back(cutover_state& state);
step_result<std::string> prepare(cutover_state& state, limits until);
void undo_prepare(cutover_state& state);
step_result<std::string> drain_long(cutover_state& state, limits until);
step_result<std::string> refresh(cutover_state& state, limits until);
step_result<std::string> drain(cutover_state& state, limits until);
void undo_drain(cutover_state& state);
step_result<std::string> verdict(cutover_state& state, limits until);
step_result<std::string> fence(cutover_state& state, limits until);
void undo_fence(cutover_state& state);
step_result<std::string> catch_up(cutover_state& state, limits until);
step_result<std::string> sequences(cutover_state& state, limits until);
step_result<std::string> promote(cutover_state& state, limits until);
step_result<std::string> verify(cutover_state& state, limits until);
step_result<std::string> mark_back(cutover_state& state, limits until);
step_result<std::string> commit(cutover_state& state, limits until);
step_result<std::string> move(cutover_state& state, limits until);
step_result<std::string> open(cutover_state& state, limits until);
step_result<std::string> arrive(cutover_state& state, limits until);
step_result<std::string> unsubscribe(cutover_state& state, limits until);
step_result<std::string> follow_back(cutover_state& state, limits until);
step_result<std::string> after(cutover_state& state, limits until);

}  // namespace steps

}  // namespace pgsluice::control
