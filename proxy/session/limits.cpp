// What clients of one address may get wrong before nothing of theirs is looked at for a while:
// passwords, and the keys of cancel requests. And how many of them may be there without a login.

#include "proxy/session/host.hpp"
#include "proxy/session/refusal.hpp"
#include "proxy/session/session.hpp"

#include <spdlog/spdlog.h>

#include <utility>

namespace pgsluice::proxy {

bool session::may_cancel() const {
    const std::uint32_t max = host_.settings().unknown_cancels_max;
    return !host_.shared().unknown_cancels().is_reached(source_, max, reactor::now());
}

void session::count_unknown_cancel() {
    const std::uint32_t max = host_.settings().unknown_cancels_max;
    if (host_.shared().unknown_cancels().count(source_, max, reactor::now())) {
        spdlog::warn(
            "cancel_limit_reached service={} address={} (unknown keys; ignored for a minute)",
            host_.settings().name,
            address_
        );
    }
}

bool session::may_log_in() const {
    const std::uint32_t max = host_.settings().failed_logins_max;
    return !host_.shared().failed_logins().is_reached(source_, max, reactor::now());
}

/// Class 28 is about who somebody is; whatever else goes wrong is not the client's doing, nor is
/// what goes wrong at the backend for a client that has shown who it is.
void session::count_failed_login(const failure& why) {
    const std::uint32_t max = host_.settings().failed_logins_max;
    const bool is_its_doing = !answers_for_client_ && why.sqlstate.starts_with("28");
    if (is_its_doing && host_.shared().failed_logins().count(source_, max, reactor::now())) {
        spdlog::warn(
            "login_limit_reached service={} address={} (refused for a minute)",
            host_.settings().name,
            address_
        );
    }
}

/// False if too many are there; the client has been told.
task<bool> session::join_newcomers() {
    using answer = newcomer_limit::answer;
    const auto settings = host_.settings_snapshot();
    const answer said = host_.shared().newcomers().enter(source_, settings->unauthenticated_max);
    is_newcomer_ = said == answer::counted;
    if (is_newcomer_ || said == answer::not_counted) {
        co_return true;
    }
    if (said == answer::first_refused) {
        spdlog::warn(
            "unauthenticated_limit_reached service={} address={} (refused until some log in)",
            settings->name,
            address_
        );
    }
    shard_counters::bump(host_.counters().clients_refused);
    failure why = refusal::too_many_newcomers(*settings);
    co_await tell_and_close(std::move(why));
    co_return false;
}

/// It has logged in, or it waits at the gate, where nobody is refused for waiting.
void session::leave_newcomers() {
    if (std::exchange(is_newcomer_, false)) {
        host_.shared().newcomers().leave(source_);
    }
}

}  // namespace pgsluice::proxy
