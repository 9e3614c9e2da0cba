#pragma once

#include <cstdint>

namespace pgsluice::proxy {

/// Where a service's sessions belong. `generation` grows by one at every retarget.
struct route {
    std::uint32_t backend = 0;  ///< index into service_settings::backends
    std::uint64_t generation = 0;
};

}  // namespace pgsluice::proxy
