#pragma once

#include "control/commands/request.hpp"
#include "control/config/config.hpp"
#include "control/cutover/runner.hpp"
#include "control/journal/journal.hpp"
#include "control/journal/service_state.hpp"
#include "control/service/engine_traffic.hpp"
#include "control/service/operation_lock.hpp"

#include <boost/json/object.hpp>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

namespace pgsluice::control {

/// Makes the two servers' side of a cutover; see control/cutover/world.hpp.
using server_pair_maker = std::function<std::unique_ptr<server_pair>(
    const service_config&, const backend_config& from, const backend_config& to
)>;

/// What a service needs of the daemon; all of it outlives the service.
struct service_surroundings {
    proxy::engine& engine;
    journal& log;
    server_pair_maker servers;
};

/// What the features of one service share; each of them has a reference to it.
class service_core {
public:
    using config_pointer = std::shared_ptr<const service_config>;

    service_core(
        service_surroundings around, std::size_t index, config_pointer settings, mode initial
    );
    service_core(const service_core&) = delete;
    service_core& operator=(const service_core&) = delete;

    std::string name() const { return settings()->name; }
    config_pointer settings() const;
    void set_settings(config_pointer settings);
    /// The backend that the route leads to.
    const std::string& route_of(const service_config& service) const;

    /// Ends the process when nobody knows any more what is on the disk.
    result<void> append(std::string_view kind, boost::json::object payload);
    /// Opens the gate, whatever the journal says.
    void reopen(std::string_view why, std::string_view by = {});
    /// The gate in one word: open and staged let somebody through; draining and paused, by a closed
    /// gate or an empty set, nobody.
    std::string_view gate_word() const;
    /// Until every live session is where it belongs or has turned out to stay, the deadline or an
    /// abort.
    void wait_followed(
        std::string_view step, limits::clock::time_point deadline, const progress_sink& tell
    );
    const std::atomic<bool>& aborted() const { return lock.aborted(); }

    proxy::engine& engine;
    journal& log;
    const server_pair_maker servers;
    const std::size_t id;
    engine_traffic traffic;
    operation_lock lock;
    mutable std::mutex mutex;  ///< of what status() shows of the features

private:
    config_pointer settings_;  ///< guarded by mutex
};

}  // namespace pgsluice::control
