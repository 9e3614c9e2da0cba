#pragma once

#include "protocol/errors.hpp"
#include "proxy/access/admission.hpp"
#include "proxy/model/canary_route.hpp"
#include "proxy/model/drain_filter.hpp"
#include "proxy/model/farewell.hpp"
#include "proxy/model/move_order.hpp"
#include "proxy/model/route.hpp"
#include "proxy/model/service_progress.hpp"
#include "proxy/model/service_settings.hpp"
#include "proxy/model/session_info.hpp"
#include "proxy/model/stats.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace pgsluice::proxy {

class shard;

/// The data plane as the control plane sees it: N workers, and per service a gate, a route and at
/// most one standing move order.
///
/// Threads: every member may be called from any thread but a worker's own. Calls that change
/// something return when every worker has acknowledged the change, which takes one turn of each
/// worker's loop; calls for the same service must not overlap (the control plane runs one operation
/// per service). Services are numbered as they were given to start().
class engine {
public:
    using service_id = std::size_t;
    using clock = std::chrono::steady_clock;

    struct service_start {
        std::shared_ptr<const service_settings> settings;
        route at;               ///< from the journal
        bool gate_open = true;  ///< false: clients are accepted and held until open_gate()
        admission admitted{};   ///< whom an open gate lets through
        forced_access access = forced_access::none;
        bool takes_clients = true;
        std::shared_ptr<const canary_route> canary{};  ///< null: none
    };

    engine();
    ~engine();
    engine(const engine&) = delete;
    engine& operator=(const engine&) = delete;

    /// Binds every listener (all workers share each port by SO_REUSEPORT) and starts the threads.
    /// Fails with the address that could not be bound; then nothing runs.
    result<void> start(std::uint32_t workers, std::vector<service_start> services);

    /// Closes listeners, ends every session (57P01 to clients) and joins the threads.
    void stop();

    /// A reload: new limits and backends apply from each session's next step on. Listeners cannot
    /// change while running; the backend list may only grow at its end or change endpoints.
    void apply(service_id service, std::shared_ptr<const service_settings> settings);

    // --- gate -------------------------------------------------------------------------------

    /// From the return on no new client gets a backend, and every session parks at its own next
    /// boundary. Calling it again is harmless.
    void close_gate(service_id service);

    /// The first pass of a drain: parks every session that works, or has lately worked, on one
    /// transaction for at least `threshold`; all others, and new clients, go on. Call it again to
    /// catch those that have become long since; progress().long_running tells how many are left.
    void hold_long(service_id service, milliseconds threshold);
    /// Lets parked sessions and held clients go on. Ends a closing that is under way.
    void open_gate(service_id service);
    bool gate_open(service_id service) const;

    /// Changes whom an open gate lets through; a closed one lets nobody. From the return on no new
    /// client outside the set gets a backend, every session outside parks at its own next boundary,
    /// and those that came in go on.
    void admit(service_id service, admission who);
    admission admitted(service_id service) const;

    /// Forces the service read-only, or ends that. From the return on no session begins a statement
    /// that could write; those in a transaction are guarded from their next boundary on, and
    /// progress().unguarded tells how many of them are left. Ending it takes effect at each
    /// session's next boundary.
    void force_access(service_id service, forced_access to);

    // --- observing --------------------------------------------------------------------------

    service_progress progress(service_id service) const;
    /// All but those of the console.
    std::vector<session_info> sessions(service_id service);
    service_stats stats(service_id service) const;
    /// Asks every worker, which sums up its sessions.
    service_traffic counted_traffic(service_id service) const;
    route current_route(service_id service) const;
    std::uint32_t workers() const;

    /// Waits until `done(progress)` is true, wakes at every change; false at the deadline or as
    /// soon as interrupt() was called for the service.
    bool wait(
        service_id service,
        const std::function<bool(const service_progress&)>& done,
        clock::time_point deadline
    );

    /// Makes the wait under way for the service, or else the next one, return false at once.
    void interrupt(service_id service);

    /// Counts anew how long clients wait.
    void count_stalls_anew(service_id service);
    /// Since the last count_stalls_anew(), those who wait still included.
    stall_histogram stalls(service_id service) const;

    /// Begins to count anew what clients get and how long it takes, or ends that; meanwhile each
    /// request costs a look at the clock.
    void read_load(service_id service, bool on);
    /// Since then; empty while nothing is counted.
    service_load load(service_id service) const;

    // --- moving -----------------------------------------------------------------------------

    /// Gives the order: sessions are captured at their next boundary (a pause of about one round
    /// trip each, at most settings.moves_in_flight at once) and spares are logged in and brought to
    /// the same state, all while traffic goes on. After close_gate() each parked session is brought
    /// up to date and gets its final verdict: progress().settled + pinned + unready == sessions.
    void order_move(service_id service, move_order order);

    /// Has every session captured again that has done something since it was, while traffic goes
    /// on, and its copy brought up to date, so that less is left to do with the gate closed.
    /// Returns how many they are; progress().preparing tells how many are left.
    std::size_t refresh_move(service_id service);

    /// Drops the order and all spares; sessions stay where they are.
    void cancel_move(service_id service);

    /// The old server is fenced: the sessions that listen there fetch what it still has for them,
    /// so that less is left for the switch. Returns at once; to be given up costs nothing.
    void hear_out(service_id service);

    /// The standby that the order names was promoted: what could not be replayed before is replayed
    /// during the switch.
    void mark_promoted(service_id service);

    /// Requires: gate closed, every session parked with a final verdict. Flips the route and moves
    /// every settled session to its spare; sessions that are not settled are ended with `farewell`.
    /// Returns when the new backend lacks nothing, so that the gate may open: progress().to_switch
    /// sessions stay parked until the old one has told what was left there for them (notifications,
    /// how often a lock is held), or did not in time. Never fails and never goes back.
    void commit_move(service_id service, route to, const farewell& to_left_behind);

    /// Custom setting names ("app.tenant") that catalogs of the service mention, in addition to
    /// what is learned from the wire; asked for at every capture.
    void learn_custom_settings(service_id service, std::span<const std::string> names);

    /// What has been learned so far, sorted.
    std::vector<std::string> custom_settings(service_id service) const;

    // --- draining ---------------------------------------------------------------------------

    /// Ends the sessions that `which` describes and that are past their login, each at its next
    /// boundary, telling the client `farewell`; new ones go on. Returns how many there are;
    /// progress().draining tells how many are left.
    std::size_t drain(service_id service, const drain_filter& which, const farewell& farewell);
    /// Whoever is left goes on.
    void end_drain(service_id service);

    // --- connections ------------------------------------------------------------------------

    /// Moves each session to a fresh connection of its own backend at one of its next boundaries,
    /// at most settings.moves_in_flight at once; one that is pinned stays, and is not tried again.
    /// Returns how many there are; progress().to_reconnect tells how many are left, those that stay
    /// included.
    std::size_t reconnect(service_id service);

    /// Sends the clients of some addresses to another backend; null: all go by the route again.
    /// From the return on every new session goes by it, or by the route where that backend cannot
    /// be reached. Live ones move as by reconnect(), at one of their next boundaries;
    /// progress().to_follow tells how many have not yet done what they can. Replication connections
    /// stay on the route. While a move order stands nobody moves.
    void set_canary(service_id service, std::shared_ptr<const canary_route> to);

    /// Whether new clients are let in; live sessions go on, and so does whoever is in its login.
    void take_clients(service_id service, bool on);

    /// No new connection is accepted any more; that cannot be undone.
    void stop_listening();

    // --- ending -----------------------------------------------------------------------------

    /// Ends the sessions named, wherever they are, telling the client `farewell` as a FATAL error;
    /// their backends are told to cancel what runs. Returns how many were found.
    std::size_t
    terminate(service_id service, std::span<const session_id> ids, const farewell& farewell);

    /// Real backend process ids of the service's connections to a backend, spares included.
    std::vector<std::int32_t> backend_pids(service_id service, std::uint32_t backend);

private:
    struct parts;
    std::unique_ptr<parts> parts_;
};

}  // namespace pgsluice::proxy
