#pragma once

#include "protocol/auth/credentials.hpp"
#include "proxy/access/admission.hpp"
#include "proxy/leg/leg.hpp"
#include "proxy/model/canary_route.hpp"
#include "proxy/model/farewell.hpp"
#include "proxy/model/move_order.hpp"
#include "proxy/model/route.hpp"
#include "proxy/model/service_settings.hpp"
#include "proxy/model/session_info.hpp"
#include "proxy/model/stats.hpp"
#include "proxy/net/reactor.hpp"
#include "proxy/session/cancel_registry.hpp"
#include "proxy/session/service_shared.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace pgsluice::proxy {

class session;

/// What a session has of the worker that it lives on.
struct worker_share {
    reactor& loop;
    std::span<std::uint8_t> scratch;  ///< shared by all pumps; holds nothing between two events
    std::uint32_t index = 0;          ///< of the worker
    cancel_registry& cancels;
};

/// What a session asks of the service that it belongs to, on its worker: the service's state as it
/// is now, and what a session's doings change in it. The engine implements it. Everything but
/// tell() runs on the worker's thread; nothing here is called on the way of a message.
class session_host {
public:
    /// Credentials with keys derived from plain passwords, by user and backend.
    using derived_keys = std::map<std::pair<std::string, std::uint32_t>, protocol::credentials>;

    session_host(const session_host&) = delete;
    session_host& operator=(const session_host&) = delete;

    const worker_share& home() const noexcept { return home_; }
    service_shared& shared() const noexcept { return shared_; }
    shard_counters& counters() noexcept { return shared_.counters(home_.index); }

    const service_settings& settings() const noexcept { return *settings_; }
    std::shared_ptr<const service_settings> settings_snapshot() const { return settings_; }
    route at() const noexcept { return route_; }
    bool gate_open() const noexcept { return gate_open_; }
    bool takes_clients() const noexcept { return takes_clients_; }
    /// Whom an open gate lets through.
    const admission& admitted() const noexcept { return *admitted_; }
    /// Who goes elsewhere than to at(); null: nobody.
    const canary_route* canary() const noexcept { return canary_.get(); }
    /// Its backend could not be reached: new sessions do not try it again for a moment.
    void rest_canary(steady_time until) noexcept { canary_rests_until_ = until; }
    bool canary_rests() const noexcept { return reactor::now() < canary_rests_until_; }
    /// No session may begin new work that writes.
    bool read_only() const noexcept { return access_ != forced_access::none; }
    /// Sessions log in with what may only read, where their backend has that.
    bool restricts() const noexcept { return access_ == forced_access::restricted; }
    const std::optional<move_order>& order() const noexcept { return order_; }
    bool promoted() const noexcept { return promoted_; }
    const farewell& left_behind() const noexcept { return left_behind_; }
    /// Null while nobody asks.
    service_load* load() noexcept { return load_.get(); }
    /// OIDs of types asked for before, by "backend database NUL schema NUL name".
    std::map<std::string, std::uint32_t>& known_types() noexcept { return known_types_; }
    derived_keys& derived() noexcept { return derived_; }

    /// Something that service_progress counts may have changed.
    void changed() noexcept { changed_ = true; }
    /// Some session has to be reconnected.
    void has_reconnects() noexcept { reconnects_ = changed_ = true; }

    virtual void enter(session& s) = 0;
    virtual void leave(session& s) = 0;
    virtual void give_turn_back() noexcept = 0;
    /// A session was copied to a new connection in that time.
    virtual void note_copy(steady_time::duration took) noexcept = 0;
    virtual void count_switched(bool lost) noexcept = 0;
    /// A client that had sent something waited this long and goes on.
    virtual void count_stall(steady_time::duration waited) noexcept = 0;
    /// A client was not served at all, or not to the end; empty: its server's own error is counted.
    virtual void count_failure(std::string_view sqlstate, load_side side) = 0;
    /// Takes over a leg that its session has left. It is closed some time after the gate has
    /// opened: a server that ends hundreds of backends at once has no time for the clients that
    /// wait.
    virtual void retire(std::unique_ptr<leg> left) = 0;
    /// Custom settings that are known so far, sorted.
    virtual const std::vector<std::string>& custom_names() = 0;
    virtual void learn(std::string_view name) = 0;

    /// Another service on the same worker.
    virtual session_host& sibling(std::size_t service) const = 0;
    /// A session of another service of this worker whose client is meant for this one: goes on here
    /// with what it knows, or is refused as a new connection is.
    virtual void take_over(session& arrived) = 0;
    /// Sends a CancelRequest to where the session of `to` is now, and notifies `asker` when its
    /// server has acted on it, or there was nothing to cancel.
    virtual void forward_cancel(const cancel_target& to, session_id asker) = 0;
    /// Any thread: `what` runs on the worker's, then the session is notified if it still lives.
    virtual void tell(session_id whom, std::function<void()> what) = 0;

protected:
    session_host(
        worker_share home,
        service_shared& shared,
        std::shared_ptr<const service_settings> settings,
        route at
    )
        : home_(home), shared_(shared), settings_(std::move(settings)), route_(at) {}
    ~session_host() = default;

    const worker_share home_;
    service_shared& shared_;
    std::shared_ptr<const service_settings> settings_;
    route route_;
    bool gate_open_ = true;
    bool takes_clients_ = true;
    bool promoted_ = false;
    bool reconnects_ = false;  ///< some session waits for its turn, or has it
    bool changed_ = true;
    forced_access access_ = forced_access::none;
    std::shared_ptr<const admission> admitted_;   ///< never null
    std::shared_ptr<const canary_route> canary_;  ///< null: none
    steady_time canary_rests_until_{};
    std::optional<move_order> order_;
    farewell left_behind_;
    std::unique_ptr<service_load> load_;
    std::map<std::string, std::uint32_t> known_types_;
    derived_keys derived_;
};

}  // namespace pgsluice::proxy
