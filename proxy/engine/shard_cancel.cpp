// What crosses threads for a session: answers that others give it, and cancel requests, whose
// target may live on any worker.
#include "proxy/engine/shard.hpp"
#include "proxy/engine/worker.hpp"
#include "proxy/session/session.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

#include <exception>
#include <utility>

namespace pgsluice::proxy {

session_host& shard::sibling(std::size_t service) const {
    return worker_.at(service);
}

void shard::tell(session_id whom, std::function<void()> what) {
    boost::asio::post(worker_.loop(), [this, whom, what = std::move(what)] {
        what();
        if (session* const asking = find(whom)) {
            asking->notify();
        }
    });
}

/// The worker of the session sends the request on, and tells this one when the server has acted, so
/// that the client's connection closes no sooner than it would.
void shard::forward_cancel(const cancel_target& to, session_id asker) {
    worker& there = worker_.peer(to.worker);
    boost::asio::post(there.loop(), [this, to, asker, &there] {
        shard& target = there.at(to.service);
        session* const s = target.find(to.session);
        const leg* const l = s == nullptr ? nullptr : s->current_leg();
        const auto reply = [this, asker] {
            tell(asker, [] {});
        };
        // At a boundary there is nothing to cancel, and a private exchange must not be hit.
        if (l == nullptr || s->phase() == session_phase::parked ||
            s->phase() == session_phase::moving) {
            reply();
            return;
        }
        shard_counters::bump(target.counters().cancels_forwarded);
        boost::asio::co_spawn(
            there.loop(),
            send_cancel(
                there.loop(),
                cancel_order::of(*l, target.settings().backends[l->backend]),
                reactor::now() + cancel_time
            ),
            [reply](std::exception_ptr) { reply(); }
        );
    });
}

}  // namespace pgsluice::proxy
