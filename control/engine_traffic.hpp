#pragma once

#include "control/cutover_world.hpp"
#include "control/mode.hpp"
#include "proxy/engine.hpp"

#include <atomic>
#include <string>

namespace pgsluice::control {

/// One service's traffic on the engine. Every change of the gate goes through the service's mode
/// machine, which is logged; a change that the mode table does not know is a bug and ends the
/// process.
///
/// Threads: the members of `traffic` are called by the one operation that the service runs;
/// current_mode() and interrupt() by any thread.
class engine_traffic final : public traffic {
public:
    engine_traffic(proxy::engine& engine, std::size_t id, std::string service, mode initial);

    void close_gate() override;
    void hold_long(std::chrono::milliseconds threshold) override;
    void open_gate() override;
    bool gate_open() const override { return engine_.gate_open(id_); }
    proxy::service_progress progress() const override { return engine_.progress(id_); }
    std::vector<proxy::session_info> sessions() override { return engine_.sessions(id_); }
    void count_stalls_anew() override { engine_.count_stalls_anew(id_); }
    proxy::stall_histogram stalls() const override { return engine_.stalls(id_); }
    proxy::route current_route() const override { return engine_.current_route(id_); }
    bool wait(
        const std::function<bool(const proxy::service_progress&)>& done,
        limits::clock::time_point deadline
    ) override;
    void order_move(proxy::move_order order) override { engine_.order_move(id_, order); }
    void cancel_move() override { engine_.cancel_move(id_); }
    void mark_promoted() override { engine_.mark_promoted(id_); }
    void commit_move(proxy::route to, const proxy::farewell& to_left_behind) override;
    void learn_custom_settings(std::span<const std::string> names) override {
        engine_.learn_custom_settings(id_, names);
    }
    std::vector<std::int32_t> backend_pids(std::uint32_t backend) override {
        return engine_.backend_pids(id_, backend);
    }

    /// An operation has ended: a switch that leaves the gate closed comes to rest.
    void settle();
    /// Ends the wait under way, or the next one.
    void interrupt() { engine_.interrupt(id_); }
    mode current_mode() const { return shown_.load(); }

private:
    void apply(mode_event event);

    proxy::engine& engine_;
    std::size_t id_;
    std::string service_;
    mode_machine machine_;
    std::atomic<mode> shown_;
};

/// True when nobody is on the way to a boundary any more.
inline bool all_parked(const proxy::service_progress& p) {
    return p.parked >= p.sessions;
}

}  // namespace pgsluice::control
