#pragma once

#include <cstdint>

namespace pgsluice::proxy {

/// Totals of a service since start, summed over workers when asked for.
struct service_stats {
    std::uint64_t clients_accepted = 0;
    std::uint64_t clients_refused = 0;
    std::uint64_t logins_failed = 0;
    std::uint64_t sessions_moved = 0;
    std::uint64_t sessions_lost = 0;
    std::uint64_t cancels_forwarded = 0;
};

}  // namespace pgsluice::proxy
