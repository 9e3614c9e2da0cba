#pragma once

#include <cstdint>

namespace pgsluice::proxy {

/// Asks every session of a service to get ready to move to another backend.
struct move_order {
    std::uint64_t id = 0;
    std::uint32_t to = 0;  ///< index into service_settings::backends
    bool standby = false;  ///< `to` is a hot standby now and will be promoted before the switch
};

}  // namespace pgsluice::proxy
