#pragma once

#include "control/records/fence.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace pgsluice::control {

/// What a preflight has to know beside the servers.
struct preflight_expectations {
    std::uint32_t sessions = 0;               ///< that will come to the new server
    fence_method fence = fence_method::none;  ///< that is going to be raised
    /// Of an earlier cutover on the new server: lift() is going to take it down.
    std::optional<fence_memory> to_fence{};
    /// The proxy's own backends on the old server, by pid, as of now.
    std::function<std::vector<std::int32_t>()> ours{};
    std::set<std::pair<std::string, std::string>> logins{};  ///< (user, database) connected
    std::string state_dir{};                                 ///< of the journal; empty: nobody asks
    std::vector<std::string> prewarm{};  ///< relations that are to be read ahead
    bool way_back = false;               ///< the old server is to follow the new one
};

}  // namespace pgsluice::control
