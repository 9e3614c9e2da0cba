#pragma once

#include "control/service/gated_traffic.hpp"
#include "proxy/engine/engine.hpp"

#include <string>
#include <utility>

namespace pgsluice::control {

/// One service's traffic on the engine; interrupt() may be called by any thread.
class engine_traffic final : public gated_traffic {
public:
    engine_traffic(proxy::engine& engine, std::size_t id, std::string service, mode initial)
        : gated_traffic(std::move(service), initial), engine_(engine), id_(id) {}

    void hold_long(std::chrono::milliseconds threshold) override {
        engine_.hold_long(id_, threshold);
    }
    void admit(proxy::admission who) override { engine_.admit(id_, std::move(who)); }
    void set_read_only(bool on) override {
        engine_.force_access(id_, on ? proxy::forced_access::guarded : proxy::forced_access::none);
    }
    bool gate_open() const override { return engine_.gate_open(id_); }
    proxy::service_progress progress() const override { return engine_.progress(id_); }
    std::vector<proxy::session_info> sessions() override { return engine_.sessions(id_); }
    void count_stalls_anew() override { engine_.count_stalls_anew(id_); }
    proxy::stall_histogram stalls() const override { return engine_.stalls(id_); }
    proxy::route current_route() const override { return engine_.current_route(id_); }
    void order_move(proxy::move_order order) override { engine_.order_move(id_, order); }
    std::size_t refresh_move() override { return engine_.refresh_move(id_); }
    void cancel_move() override { engine_.cancel_move(id_); }
    void hear_out() override { engine_.hear_out(id_); }
    void mark_promoted() override { engine_.mark_promoted(id_); }
    void learn_custom_settings(std::span<const std::string> names) override {
        engine_.learn_custom_settings(id_, names);
    }
    std::vector<std::int32_t> backend_pids(std::uint32_t backend) override {
        return engine_.backend_pids(id_, backend);
    }

    /// Ends the wait under way, or the next one.
    void interrupt() { engine_.interrupt(id_); }

private:
    void close_now() override { engine_.close_gate(id_); }
    void open_now() override { engine_.open_gate(id_); }
    bool wait_now(
        const std::function<bool(const proxy::service_progress&)>& done,
        limits::clock::time_point deadline
    ) override {
        return engine_.wait(id_, done, deadline);
    }
    void switch_now(proxy::route to, const proxy::farewell& to_left_behind) override {
        engine_.commit_move(id_, to, to_left_behind);
    }

    proxy::engine& engine_;
    std::size_t id_;
};

}  // namespace pgsluice::control
