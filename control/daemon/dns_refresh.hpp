#pragma once

#include "control/config/config.hpp"
#include "proxy/net/resolve.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace pgsluice::control {

/// Host and port as configured.
using server_name = std::pair<std::string, std::uint16_t>;

/// What looking a name up came to: addresses, or why there are none.
using lookup_result = result<std::vector<proxy::endpoint>>;
using lookup_results = std::map<server_name, lookup_result>;

/// proxy::resolve(), or what a test puts in its place. Any thread.
using name_resolver = std::function<lookup_result(const std::string& host, std::uint16_t port)>;

/// The hosts of a service's backends that are names: neither numbers nor paths of sockets.
std::vector<server_name> names_to_look_up(const service_config& service);

/// What looking up the names of a service's backends came to.
struct new_addresses {
    /// Null when each name still has the same addresses, in whatever order. A name that cannot be
    /// resolved keeps the last good answer.
    std::shared_ptr<const proxy::service_settings> settings;
    std::vector<std::string> changed;     ///< "green: db.example is now 10.0.0.2:5432"
    std::vector<std::string> unresolved;  ///< "green: cannot resolve ..."
};

new_addresses addresses_of(
    const service_config& service, const proxy::service_settings& now, const lookup_results& found
);

/// Looks names up again before their addresses are too old, and soon after a connection to a server
/// has failed: a managed server that fails over keeps its name and changes its address. Has a
/// thread of its own, as the resolver may take its time; only the destructor waits for it.
class name_refresh {
public:
    struct surroundings {
        name_resolver look_up = proxy::resolve;
        std::function<std::vector<server_name>()> names;
        /// How many connections to servers have failed so far.
        std::function<std::uint64_t()> failures;
        std::function<std::chrono::milliseconds()> max_age;  ///< 0: after failures only
        /// Called on the thread of this object. False: not now; they are looked up again soon.
        std::function<bool(const lookup_results&)> apply;
        /// How often failures and ages are looked at.
        std::chrono::milliseconds interval{1'000};
    };

    explicit name_refresh(surroundings around);
    ~name_refresh();
    name_refresh(const name_refresh&) = delete;
    name_refresh& operator=(const name_refresh&) = delete;

private:
    struct parts;
    std::unique_ptr<parts> parts_;
};

}  // namespace pgsluice::control
