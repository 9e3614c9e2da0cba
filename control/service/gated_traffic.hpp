#pragma once

#include "control/cutover/world.hpp"
#include "control/service/mode.hpp"

#include <atomic>
#include <functional>
#include <string>

namespace pgsluice::control {

/// One service's traffic, whatever it runs on. Every change of the gate goes through the service's
/// mode machine, which is logged; a change that the mode table does not know is a bug and ends the
/// process. Whoever derives from it does what was allowed.
///
/// Threads: the members of `traffic` are called by the one operation that the service runs;
/// current_mode() by any thread.
class gated_traffic : public traffic {
public:
    void close_gate() final;
    void open_gate() final;
    bool wait(
        const std::function<bool(const proxy::service_progress&)>& done,
        limits::clock::time_point deadline
    ) final;
    void commit_move(proxy::route to, const proxy::farewell& to_left_behind) final;

    /// An operation has ended: a switch that leaves the gate closed comes to rest.
    void settle();
    mode current_mode() const { return shown_.load(); }

protected:
    gated_traffic(std::string service, mode initial);

private:
    virtual void close_now() = 0;
    virtual void open_now() = 0;
    virtual bool wait_now(
        const std::function<bool(const proxy::service_progress&)>& done,
        limits::clock::time_point deadline
    ) = 0;
    virtual void switch_now(proxy::route to, const proxy::farewell& to_left_behind) = 0;
    void apply(mode_event event);

    std::string service_;
    mode_machine machine_;
    std::atomic<mode> shown_;
};

/// True when nobody is on the way to a boundary any more.
inline bool all_parked(const proxy::service_progress& p) {
    return p.parked >= p.sessions;
}

}  // namespace pgsluice::control
