// What a session does while it is parked: first whatever needs it to be at a boundary, then wait,
// for the gate, its turn or the end of its patience.

#include "protocol/wire/messages.hpp"
#include "proxy/session/host.hpp"
#include "proxy/session/refusal.hpp"
#include "proxy/session/session.hpp"

#include <algorithm>
#include <utility>

namespace pgsluice::proxy {

task<void> session::while_parked() {
    while (pump_.parked() && pump_.end() == pump_end::none && !farewell_) {
        const bool acted = co_await act_at_boundary();
        if (!acted) {
            co_await wait_parked();
        }
    }
}

/// One thing that can be done now; false when there is nothing but to wait.
task<bool> session::act_at_boundary() {
    if (pump_.is_inside_backend_message()) {
        co_return false;  // a notice or notification of which the rest is on its way
    }
    if (switch_due_) {
        switch_due_ = false;
        co_await go_over();
        co_return true;
    }
    if (may_ask_) {
        co_await hear_out();
        co_return true;
    }
    if (drained_with_) {
        terminate(*drained_with_);
        co_return true;
    }
    if (guard_due()) {
        co_await change_guard();
        co_return true;
    }
    if (stage_ == move_stage::granted) {
        co_await capture_for_order();
        co_return true;
    }
    if (reconnect_ == reconnect_stage::granted) {
        co_await renew_leg();
        co_return true;
    }
    if (tidy_due_) {
        tidy_due_ = false;
        co_await close_private_statements();
        co_return true;
    }
    const bool unchanged = captured_requests_ == pump_.requests();
    if (!is_held()) {
        co_await leave_boundary();
        co_return true;
    }
    const bool has_verdict = stage_ != move_stage::queued && stage_ != move_stage::switched;
    if (stage_ == move_stage::prepared && unchanged) {
        stage_ = move_stage::settled;
        host_.changed();
    } else if (host_.order() && has_verdict && !unchanged && !building_) {
        stage_ = move_stage::queued;
        host_.changed();
    }
    co_return false;
}

/// Nothing holds the session any more: its client continues.
task<void> session::leave_boundary() {
    if (!host_.order() && host_.settings().move_every != 0) {
        const place here = place_of(*leg_);
        co_await move_in_place(here);
        if (is_held()) {
            co_return;  // since then
        }
    }
    if (stage_ == move_stage::settled) {
        stage_ = move_stage::prepared;
        has_heard_ = false;
    }
    noticed_ = false;
    host_.changed();
    if (pump_.end() == pump_end::none && pump_.parked() && !farewell_) {
        if (pump_.waits()) {
            host_.count_stall(reactor::now() - waiting_since_);
        }
        pump_.open();
    }
}

task<void> session::wait_parked() {
    const wake why = co_await wait_.until(next_hold_deadline());
    if (why == wake::deadline) {
        note_hold();
    }
}

steady_time session::next_hold_deadline() const {
    if (!pump_.waits()) {
        return never;
    }
    const auto& settings = host_.settings();
    const steady_time end = waiting_since_ + settings.hold_timeout;
    return noticed_ ? end : std::min(end, waiting_since_ + settings.notice_after);
}

/// A waiting client's patience has a limit, and it is told before.
void session::note_hold() {
    const auto& settings = host_.settings();
    if (reactor::now() >= waiting_since_ + settings.hold_timeout) {
        terminate(refusal::held_too_long(settings, held_by()));
        return;
    }
    noticed_ = true;
    std::string message;
    protocol::encode_notice_response(message, refusal::please_wait(settings, held_by()));
    pump_.tell_client(protocol::as_bytes(message));
}

bool session::is_held() const noexcept {
    return !host_.gate_open() || !inside_ || held_back_ || drained_with_ || guard_due();
}

bool session::is_refused() const noexcept {
    return !inside_ && host_.admitted().refuses;
}

hold_reason session::held_by() const noexcept {
    return host_.gate_open() && !inside_ ? hold_reason::not_admitted : hold_reason::gate_closed;
}

void session::on_client_waits() {
    waiting_since_ = reactor::now();
    wait_.notify();
}

void session::gate_closed() {
    pump_.close();
    host_.changed();
}

bool session::works_since_before(steady_time t) const noexcept {
    return early_phase_ == session_phase::idle && !pump_.state().at_boundary() && pump_.since() < t;
}

void session::hold_if_long(steady_time now, milliseconds threshold) {
    if (held_back_ || early_phase_ != session_phase::idle || ending_) {
        return;
    }
    const auto running =
        pump_.state().at_boundary() ? steady_time::duration{} : now - pump_.since();
    if (std::max(running, pump_.recent_work()) >= threshold) {
        held_back_ = true;
        gate_closed();
    }
}

void session::gate_opened() {
    held_back_ = false;
}

bool session::look_up() {
    const bool was_inside = std::exchange(inside_, host_.admitted().set.contains(source_));
    if (!inside_) {
        if (was_inside) {
            gate_closed();
        }
        if (early_phase_ == session_phase::held) {
            wait_.notify();  // it may be one to be refused now
        }
    }
    return inside_ && !was_inside;
}

void session::go_on() {
    if (is_held()) {
        return;
    }
    if (pump_.parked() || early_phase_ != session_phase::idle) {
        wait_.notify();
    }
    if (!pump_.parked() && stage_ != move_stage::granted) {
        pump_.open();
    }
}

bool session::drain(const drain_filter& which, const farewell& last_words) {
    const bool is_meant = early_phase_ == session_phase::idle && !ending_ && !farewell_ &&
                          (!which.backend || (leg_ && leg_->backend == *which.backend)) &&
                          (which.user.empty() || startup_->user() == which.user) &&
                          which.from.contains(source_);
    if (!is_meant) {
        return false;
    }
    drained_with_ = last_words;
    pump_.close();
    wait_.notify();
    return true;
}

void session::end_drain() {
    if (std::exchange(drained_with_, std::nullopt) && !ending_) {
        go_on();
    }
}

void session::order_given() {
    may_ask_ = has_heard_ = false;
    stage_ = move_stage::queued;
    pins_.clear();
    host_.changed();
}

bool session::refresh() {
    const bool has_copy = stage_ == move_stage::prepared || stage_ == move_stage::pinned ||
                          stage_ == move_stage::unready;
    if (!has_copy || captured_requests_ == pump_.requests()) {
        return false;
    }
    stage_ = move_stage::queued;
    host_.changed();
    return true;
}

void session::order_ended() {
    if (switching_) {
        return;  // past the commit point: it follows on its own
    }
    stage_ = move_stage::none;
    may_ask_ = has_heard_ = false;
    image_.reset();
    if (spare_ && building_) {
        stop_building_.emit(boost::asio::cancellation_type::terminal);  // build_spare() drops it
    } else if (spare_) {
        drop_spare();
    }
    wait_.notify();
}

void session::grant() {
    PGSLUICE_ASSERT(!has_turn_);
    has_turn_ = true;
    stage_ = move_stage::granted;
    host_.changed();
    pump_.close();
    wait_.notify();
}

void session::switch_over() {
    switching_ = crossing_ = true;
    if (!pump_.parked()) {
        terminate(host_.left_behind());
        return;
    }
    switch_due_ = true;
    wait_.notify();
}

void session::tidy() {
    tidy_due_ = true;
    pump_.close();
    wait_.notify();
}

}  // namespace pgsluice::proxy
