#pragma once

#include "protocol/auth/credentials.hpp"
#include "proxy/access/admission.hpp"
#include "proxy/engine/copy_pace.hpp"
#include "proxy/image/session_image.hpp"
#include "proxy/leg/leg.hpp"
#include "proxy/model/canary_route.hpp"
#include "proxy/model/drain_filter.hpp"
#include "proxy/model/farewell.hpp"
#include "proxy/model/move_order.hpp"
#include "proxy/model/route.hpp"
#include "proxy/model/service_progress.hpp"
#include "proxy/model/service_settings.hpp"
#include "proxy/model/session_info.hpp"
#include "proxy/model/stats.hpp"
#include "proxy/net/endpoint.hpp"
#include "proxy/net/reactor.hpp"
#include "proxy/session/host.hpp"

#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace pgsluice::proxy {

class cancel_registry;
class session;
class worker;

/// One service on one worker: its sessions, its copy of gate, route and order. Everything here runs
/// on the worker's thread.
class shard final : public session_host {
public:
    /// What the gate lets through at the start.
    struct gate_start {
        bool is_open = true;
        forced_access access = forced_access::none;
        bool takes_clients = true;
        std::shared_ptr<const admission> admitted;
        std::shared_ptr<const canary_route> canary;
    };

    shard(
        worker& home,
        service_shared& shared,
        std::shared_ptr<const service_settings> settings,
        route at,
        gate_start gate
    );
    ~shard();

    // --- for sessions, see session_host -----------------------------------------------------
    void enter(session& s) override;
    void leave(session& s) override;
    void give_turn_back() noexcept override;
    void note_copy(steady_time::duration took) noexcept override;
    void count_switched(bool lost) noexcept override;
    void count_stall(steady_time::duration waited) noexcept override;
    void count_failure(std::string_view sqlstate, load_side side) override;
    void retire(std::unique_ptr<leg> left) override;
    const std::vector<std::string>& custom_names() override;
    void learn(std::string_view name) override;
    session_host& sibling(std::size_t service) const override;
    void take_over(session& arrived) override;
    void forward_cancel(const cancel_target& to, session_id asker) override;
    void tell(session_id whom, std::function<void()> what) override;

    // --- from the worker --------------------------------------------------------------------
    void accept(int client, const endpoint& from, const std::shared_ptr<const entrance>& in);
    /// Every session is told where it belongs: those that live move as by reconnect().
    void set_canary(std::shared_ptr<const canary_route> to);
    void force_access(forced_access to);
    /// Parks the sessions whose work is long; everybody else goes on. open_gate() releases them.
    void hold_long(milliseconds threshold);
    std::size_t drain(const drain_filter& which, const farewell& last_words);
    void end_drain();
    /// Marks every session to be reconnected; how many those are.
    std::size_t reconnect();
    void take_clients(bool on) noexcept { takes_clients_ = on; }
    /// No service of this worker accepts connections any more.
    void stop_listening();
    /// Begins to count anew what clients get, or ends that.
    void read_load(bool on);
    session* find(session_id id) const;
    void for_each(const std::function<void(session&)>& visit);
    void close_gate();
    void open_gate();
    /// Looks every session up in the new set: those outside park at their next boundary, those that
    /// came in go on.
    void admit(std::shared_ptr<const admission> to);
    void give_order(const move_order& order);
    std::size_t refresh();
    void hear_out();
    void mark_promoted();
    void commit(route to, const farewell& to_left_behind);
    void end_order();
    void publish_now();
    void apply(std::shared_ptr<const service_settings> settings) {
        settings_ = std::move(settings);
        derived_.clear();
    }
    std::size_t terminate(std::span<const session_id> ids, const farewell& last_words);
    void count_stalls_anew() noexcept { stalls_ = {}; }
    /// Since count_stalls_anew(); whoever waits still is counted with the time so far.
    stall_histogram stalls() const;
    service_traffic counted_traffic() const;

    /// After every batch of events: hands out turns and publishes progress where it changed.
    void after_batch();
    /// Before the loop stops: nothing is kept back any more.
    void wind_up() { retired_.clear(); }
    bool is_empty() const noexcept { return sessions_.empty() && !dropping_; }

private:
    void hand_out_turns();
    void hand_out_reconnects();
    void begin_moves();
    void release(std::vector<session*> whom);
    void release_next();
    task<void> drop_retired();
    session* next_to_ask() const;
    void begin_asking();
    task<void> ask_old_server();
    service_progress count() const;
    std::uint32_t turns_max() const noexcept;
    std::uint32_t turns_share() const noexcept;

    worker& worker_;
    bool guards_ = false;   ///< some session still has to get its guard
    bool follows_ = false;  ///< some session has not left the old server yet
    bool strays_ = false;   ///< some session is not yet where, or who, it should be
    bool drains_ = false;
    bool holds_long_ = false;
    steady_time holds_long_since_{};
    std::map<session_id, session*> sessions_;
    std::vector<session_id> to_release_;  ///< may go on, but not yet let go; next at the back
    std::vector<std::unique_ptr<leg>> retired_;
    bool dropping_ = false;  ///< drop_retired() runs
    bool asking_ = false;    ///< ask_old_server() runs
    std::uint32_t turns_taken_ = 0;
    turn_pace pace_;  ///< of the order, or of the reconnects
    std::uint32_t switched_ = 0;
    std::uint32_t lost_ = 0;
    bool tidying_ = false;  ///< some session may carry private statements without an order
    stall_histogram stalls_;
    service_traffic ended_;  ///< of sessions that have left, and all waits
    std::uint64_t names_version_ = ~std::uint64_t{0};
    std::vector<std::string> names_;
};

/// Logs why a coroutine that nobody waits for has ended, if that was an error.
void log_task_end(const std::exception_ptr& error);

}  // namespace pgsluice::proxy
