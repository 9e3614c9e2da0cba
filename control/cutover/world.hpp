#pragma once

#include "control/base/deadline.hpp"
#include "control/base/lsn.hpp"
#include "control/base/step_result.hpp"
#include "control/preflight/check_row.hpp"
#include "control/preflight/expectations.hpp"
#include "control/records/cutover.hpp"
#include "proxy/access/admission.hpp"
#include "proxy/model/farewell.hpp"
#include "proxy/model/move_order.hpp"
#include "proxy/model/route.hpp"
#include "proxy/model/service_progress.hpp"
#include "proxy/model/service_settings.hpp"
#include "proxy/model/session_info.hpp"
#include "proxy/model/stats.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::control {

/// Everything a cutover touches, cut into four doors so that the sequence can be run in a test
/// without sockets: the data plane of one service, the two servers, the durable record, and the
/// operator who watches and may say stop. Every wait behind a door ends at `limits`.

/// The data plane as one service's cutover sees it; proxy::engine's members without the service
/// number. See proxy/engine/engine.hpp for what each guarantees.
class traffic {
public:
    virtual ~traffic() = default;

    virtual void close_gate() = 0;
    virtual void hold_long(std::chrono::milliseconds threshold) = 0;
    virtual void open_gate() = 0;
    virtual void admit(proxy::admission who) = 0;
    virtual void set_read_only(bool on) = 0;
    virtual bool gate_open() const = 0;
    virtual proxy::service_progress progress() const = 0;
    virtual std::vector<proxy::session_info> sessions() = 0;
    virtual proxy::route current_route() const = 0;
    virtual void count_stalls_anew() = 0;
    virtual proxy::stall_histogram stalls() const = 0;
    virtual bool wait(
        const std::function<bool(const proxy::service_progress&)>& done,
        limits::clock::time_point deadline
    ) = 0;
    virtual void order_move(proxy::move_order order) = 0;
    virtual std::size_t refresh_move() = 0;
    virtual void cancel_move() = 0;
    virtual void hear_out() = 0;
    virtual void mark_promoted() = 0;
    virtual void commit_move(proxy::route to, const proxy::farewell& to_left_behind) = 0;
    virtual void learn_custom_settings(std::span<const std::string> names) = 0;
    virtual std::vector<std::int32_t> backend_pids(std::uint32_t backend) = 0;
};

/// The operator's commands around a cutover.
enum class hook_kind : std::uint8_t { before, after, abort };

/// The old and the new server through the control plane's own logins. Connections are opened by
/// preflight() and kept, so that nothing is connected while clients wait.
class server_pair {
public:
    virtual ~server_pair() = default;

    /// Every check, without touching data. Fails only when it could not be carried out at all;
    /// findings are rows.
    virtual step_result<std::vector<check_row>>
    preflight(const preflight_expectations&, limits) = 0;
    /// Custom setting names ("app.tenant") that the catalogs of these databases mention.
    virtual step_result<std::vector<std::string>>
    custom_settings(std::span<const std::string> databases, limits) = 0;
    /// Reads the relations that the plan names into the new server's memory, as far as it gets in
    /// time. Fails only when it was aborted. Returns a line.
    virtual step_result<std::string> prewarm(limits) = 0;
    /// Sends every statement of the steps to come for planning. Changes nothing.
    virtual step_result<void> prepare(limits) = 0;
    /// What dry-run and the progress show of the servers right now.
    virtual step_result<std::vector<reading>> readings(limits) = 0;

    /// Whether old and new are one running server (two names, two databases): then no fence.
    virtual bool same_server() const = 0;
    /// Whether preflight() found the new server read-only by default.
    virtual bool is_new_read_only() const = 0;
    /// The fence's own undo information, to be journaled before fence().
    virtual step_result<fence_memory> read_fence(limits) = 0;
    /// The old server refuses writes from then on: returns what it ended, in words. `ours` are
    /// backend pids that stay although they are client backends.
    /// `memory` is read_fence()'s. A write has been tried by then, and was refused.
    virtual step_result<std::string> fence(
        const fence_memory& memory, const std::function<std::vector<std::int32_t>()>& ours, limits
    ) = 0;
    /// The route is the new server's: lets go of what the fence held for the pause alone.
    virtual void let_go() = 0;
    /// Puts back what `memory` says.
    virtual step_result<void> unfence(const fence_memory& memory, limits) = 0;

    /// Takes the fence that an earlier cutover left off the new server. Returns a line.
    virtual step_result<std::string> lift(const fence_memory& memory, limits) = 0;
    /// Puts it back.
    virtual step_result<void> undo_lift(const fence_memory& memory, limits) = 0;

    /// Writes and flushes a marker on the old server and returns its position.
    virtual step_result<lsn> mark(std::string_view id, limits) = 0;
    /// Waits until the new server has applied everything before `marker`.
    virtual step_result<void> catch_up(lsn marker, limits) = 0;
    /// Sets the new server's sequences to the old one's values; never backwards. Returns a line.
    virtual step_result<std::string> copy_sequences(limits) = 0;
    virtual step_result<void> promote(limits) = 0;
    /// The new server accepts a write, durably; and nothing it applied can be lost after it.
    virtual step_result<void> verify(limits) = 0;
    /// Nothing that happens on the old server can reach the new one any more.
    virtual step_result<void> unsubscribe(limits) = 0;

    /// Everything that the old server needs to follow the new one from the commit point on. See
    /// way_back.hpp, also for the three below.
    virtual step_result<void> prepare_way_back(limits) = 0;
    /// What the new server has written until now stays out of it.
    virtual step_result<void> mark_way_back(limits) = 0;
    /// The old server follows the new one; after unsubscribe().
    virtual step_result<void> follow_back(limits) = 0;
    virtual step_result<void> undo_way_back(limits) = 0;

    /// Runs one of the configured commands; `text` tells it what has happened.
    virtual step_result<void> run_hook(hook_kind which, std::string_view text, limits) = 0;
};

/// The journal. An append that returns success is on disk, one that fails left nothing there; an
/// implementation that cannot tell ends the process, so that a restart reads the truth.
class chronicle {
public:
    virtual ~chronicle() = default;
    virtual step_result<void> append(const cutover_record& record) = 0;
};

/// Who watches. All calls come from the thread that runs the cutover.
class audience {
public:
    virtual ~audience() = default;
    virtual void show(const step_progress& progress) = 0;
    /// A named place where a test may stop, fail or kill the process; ok in normal life.
    virtual step_result<void> fault(std::string_view point) = 0;
};

struct cutover_world {
    traffic& service;
    server_pair& servers;
    chronicle& journal;
    audience& watcher;
    const std::atomic<bool>& aborted;
    /// The process is about to end: what cannot be undone soon is left to the next start. Set
    /// before `aborted`.
    const std::atomic<bool>& stopping;
};

}  // namespace pgsluice::control
