// To a fresh connection of a session's own backend, or of the place it belongs in, when an operator
// asks for it or, for testing.move_every, all the time: through the same steps that a cutover
// takes.

#include "proxy/image/replay.hpp"
#include "proxy/session/host.hpp"
#include "proxy/session/session.hpp"

#include <spdlog/spdlog.h>

#include <utility>

namespace pgsluice::proxy {

bool session::reconnect() {
    const bool is_meant =
        early_phase_ == session_phase::idle || early_phase_ == session_phase::login;
    if (!is_meant || ending_ || farewell_) {
        return false;
    }
    if (reconnect_ != reconnect_stage::granted) {
        reconnect_ = reconnect_stage::due;
    }
    return true;
}

void session::grant_reconnect() {
    PGSLUICE_ASSERT(!has_turn_);
    has_turn_ = true;
    reconnect_ = reconnect_stage::granted;
    host_.changed();
    pump_.close();
    wait_.notify();
}

/// Its turn has come, and it is parked.
task<void> session::renew_leg() {
    if (host_.order()) {
        reconnect_ = reconnect_stage::due;  // that order may bring it away from here anyway
        release_turn();
        co_return;
    }
    reconnect_ = reconnect_stage::stays;  // adopt_spare() knows better
    const place to = place_now();
    auto why_not = co_await move_in_place(to);
    if (reconnect_ == reconnect_stage::stays && why_not.empty()) {
        reconnect_ = reconnect_stage::due;  // the server was in the middle of a message
    } else if (reconnect_ == reconnect_stage::stays) {
        pins_ = std::move(why_not);
        count_turned_back();
    }
    if (leg_ && reconnect_ == reconnect_stage::none) {
        follow_place();  // which may have changed meanwhile
    }
    if (host_.order() && !ending_) {
        order_given();  // it came meanwhile
    }
    release_turn();
    host_.changed();
}

/// Why it stays where it is: pinned, or its own old leg still holds its locks. None: it has moved,
/// or it is about to end.
task<std::vector<pin_reason>> session::move_in_place(place to) {
    if (lacks_credentials() || startup_->wants_replication()) {
        co_return reasons_of(judge(session_image{}, what_the_wire_tells()).pins);
    }
    auto captured = co_await capture();
    if (!captured || leg_->dead) {
        co_return one_reason(
            pin_code::capture_failed, captured ? "the connection is lost" : captured.error().message
        );
    }
    image_ = std::move(*captured);
    std::vector<pin_reason> why_not = reasons_of(judge(*image_, what_the_wire_tells()).pins);
    if (why_not.empty() && !image_->locks.empty()) {
        why_not = one_reason(
            pin_code::advisory_lock,
            "its session-level advisory locks are held by the connection it has"
        );
    }
    const bool leaves_others = to.is_canary && to.backend != leg_->backend;
    if (why_not.empty() && leaves_others && !image_->channels.empty()) {
        why_not = one_reason(pin_code::listen, "it listens, and others notify it where it is");
    }
    if (why_not.empty()) {
        why_not = co_await move_to_fresh_leg(to);
    }
    image_.reset();
    if (pump_.end() == pump_end::none) {
        co_await close_private_statements();
    }
    co_return why_not;
}

task<std::vector<pin_reason>> session::move_to_fresh_leg(place to) {
    const bool is_same_server = to.backend == leg_->backend;
    spare_ = std::make_unique<spare_leg>(host_.home().loop);
    spare_->line->is_canary = to.is_canary;
    spare_->line->is_read_only = to.is_read_only;
    spare_->line->is_restricted = to.is_restricted;
    if (to.is_restricted != leg_->is_restricted) {
        *image_ =
            with_login(std::move(*image_), login_user_of(*leg_), login_user_of(*spare_->line));
    }
    in_exchange_ = true;
    const steady_time begun = reactor::now();
    auto why_not = co_await prepare_spare(*spare_, to.backend, false);
    in_exchange_ = false;
    if (why_not.empty()) {
        host_.note_copy(reactor::now() - begun);
    }
    for (const pin_reason& reason : why_not) {
        spdlog::warn(
            "reconnect failed session={} code={} why=\"{}\"", id_, reason.code, reason.text
        );
    }
    const bool is_quiet = !pump_.is_inside_backend_message();
    if (why_not.empty() && pump_.end() == pump_end::none && !farewell_ && is_quiet) {
        pump_.lend_backend();
        co_await carry_notifications(is_same_server);
        adopt_spare();
        stage_ = move_stage::none;
    } else {
        drop_spare();
    }
    co_return why_not;
}

}  // namespace pgsluice::proxy
