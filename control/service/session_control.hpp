#pragma once

#include "control/commands/outcome.hpp"
#include "control/service/service_core.hpp"

#include <functional>

namespace pgsluice::control {

/// Commands on the sessions of one service, and whether it takes new ones.
class session_control {
public:
    session_control(service_core& core, bool takes_clients)
        : core_(core), takes_clients_(takes_clients) {}

    outcome sessions(const request& given);
    outcome drain(const request& given, const progress_sink& tell);
    /// Also while an operation runs.
    outcome kill(const request& given);
    outcome reconnect();
    /// Also while an operation runs.
    outcome wait_close(const request& given, const progress_sink& tell);
    outcome take_clients(bool on, const std::string& by);
    bool takes_clients() const;

    /// When no operation can begin any more: ends each session at its next boundary, for at most
    /// cutover.drain_timeout or until `is_over`. How many are left.
    std::size_t wind_down(const std::function<bool()>& is_over, const progress_sink& tell);

private:
    void wait_drained(
        std::size_t meant,
        limits::clock::time_point deadline,
        const std::function<bool()>& is_over_early,
        const progress_sink& tell
    );

    service_core& core_;
    bool takes_clients_;  ///< guarded by the core's mutex
};

}  // namespace pgsluice::control
