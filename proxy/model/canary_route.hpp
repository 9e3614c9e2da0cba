#pragma once

#include "proxy/access/address_set.hpp"

#include <cstdint>

namespace pgsluice::proxy {

/// Clients that get another backend than the route. Immutable once made; any thread may read it.
struct canary_route {
    address_set from;
    std::uint32_t backend = 0;  ///< index into service_settings::backends
    bool is_read_only = true;   ///< forced: every session of it is guarded
};

}  // namespace pgsluice::proxy
