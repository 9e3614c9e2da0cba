// Which backend a session belongs on, the route's or, by its client's address, the canary's; and
// with which login, its own or, while the service is forced read-only by one, the backend's
// read_only_user. Asked when it gets a backend and whenever one of these changes; who lives then
// moves as by reconnect().

#include "proxy/session/host.hpp"
#include "proxy/session/session.hpp"

#include <spdlog/spdlog.h>

namespace pgsluice::proxy {

namespace {

/// New clients do not all wait for a server that has just been found to be away.
constexpr std::chrono::seconds canary_rest{5};

}  // namespace

session::place session::place_now() const noexcept {
    const canary_route* const other = host_.canary();
    place there{.backend = host_.at().backend};
    if (other != nullptr && in_canary_) {
        there = {.backend = other->backend, .is_canary = true, .is_read_only = other->is_read_only};
    }
    const auto& backends = host_.settings().backends;
    // Only of the route's backend has the role been looked at.
    there.is_restricted =
        host_.restricts() && !there.is_canary && backends[there.backend].read_only_login;
    return there;
}

session::place session::place_of(const leg& l) const noexcept {
    return {l.backend, l.is_canary, l.is_read_only, l.is_restricted};
}

/// Whoever replicates, replicates the route.
void session::look_up_canary() noexcept {
    const canary_route* const other = host_.canary();
    in_canary_ =
        other != nullptr && !startup_->wants_replication() && other->from.contains(source_);
}

bool session::is_elsewhere() const noexcept {
    const place there = place_now();
    return leg_ && (there.is_canary || leg_->is_canary) && there.backend != leg_->backend;
}

bool session::has_other_login() const noexcept {
    return leg_ && place_now().is_restricted != leg_->is_restricted;
}

bool session::is_misplaced() const noexcept {
    return is_elsewhere() || has_other_login();
}

bool session::is_following() const noexcept {
    if (!leg_ || ending_ || early_phase_ != session_phase::idle) {
        return false;
    }
    const bool is_on_its_way = (awaits_reconnect() || has_turn_) && is_misplaced();
    return is_on_its_way || (leg_->is_read_only && !pump_.guarded());
}

load_side session::side() const noexcept {
    return leg_ && leg_->is_canary ? load_side::canary : load_side::route;
}

void session::read_load() {
    service_load* const sums = leg_ ? host_.load() : nullptr;
    pump_.read_load(sums == nullptr ? nullptr : &sums->of(side()));
}

void session::place_changed() {
    const bool has_begun =
        early_phase_ == session_phase::idle || early_phase_ == session_phase::login;
    if (!has_begun || ending_ || !leg_) {
        return;  // looks when it gets its backend
    }
    look_up_canary();
    follow_place();
    if (guard_due()) {
        gate_closed();
        wait_.notify();
    } else if (early_phase_ == session_phase::idle && reconnect_ != reconnect_stage::granted) {
        go_on();
    }
}

/// Begins to move if it is in the wrong place; what it waits for otherwise is over.
void session::follow_place() {
    if (is_misplaced()) {
        strays_ = true;
        if (reconnect()) {
            host_.has_reconnects();
        }
        return;
    }
    const place there = place_now();
    leg_->is_canary = there.is_canary;
    leg_->is_read_only = there.is_read_only;
    read_load();
    if (std::exchange(strays_, false) && reconnect_ != reconnect_stage::granted) {
        reconnect_ = reconnect_stage::none;
        pins_.clear();
        host_.changed();
    }
}

/// False where the session does not belong there, or it cannot be reached: the route has it then.
task<bool> session::connect_canary(std::shared_ptr<const service_settings> settings) {
    look_up_canary();
    const place there = place_now();
    if (!there.is_canary) {
        co_return false;
    }
    const backend_target& target = settings->backends[there.backend];
    std::string why = "it was tried a moment ago";
    if (!host_.canary_rests()) {
        leg_ = std::make_unique<leg>(host_.home().loop);
        leg_->backend = there.backend;
        leg_->preface = preface_for(target);
        leg_->is_canary = true;
        leg_->is_read_only = there.is_read_only;
        const auto opened = co_await open_leg(*leg_, wait_, target, settings->connect_timeout);
        if (opened) {
            co_return true;
        }
        shard_counters::bump(host_.counters().connects_failed);
        host_.rest_canary(reactor::now() + canary_rest);
        why = opened.error().detail;
        spdlog::warn(
            "canary unreachable service={} backend={} detail=\"{}\" (its clients get the route)",
            settings->name,
            target.name,
            why
        );
    }
    strays_ = true;
    reconnect_ = reconnect_stage::stays;
    pins_ = {
        {std::string(unready_code),
         "backend \"" + target.name + "\" cannot be reached (" + why + ")"}};
    count_turned_back();
    co_return false;
}

/// Its pins say why it is not where it belongs: whoever reads the load hears of a canary's server
/// that does not answer, though no client does.
void session::count_turned_back() {
    if (place_now().is_canary && pins_.front().code == unready_code) {
        host_.count_failure(sqlstate::cannot_connect_now, load_side::turned_back);
    }
}

}  // namespace pgsluice::proxy
