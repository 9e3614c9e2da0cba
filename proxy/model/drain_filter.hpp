#pragma once

#include "proxy/access/address_set.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace pgsluice::proxy {

/// Which sessions a drain is about; what is not given is any.
struct drain_filter {
    std::optional<std::uint32_t> backend{};  ///< index into service_settings::backends
    std::string user{};
    address_set from = address_set::all();
};

}  // namespace pgsluice::proxy
