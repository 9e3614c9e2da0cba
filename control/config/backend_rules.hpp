#pragma once

#include "control/config/yaml_section.hpp"

namespace pgsluice::control {

/// Reports what is wrong between the keys of a backend, which have been read, as have those of its
/// service.
void check_backend(
    const service_config& service, const backend_config& backend, section<backend_config>& s
);

/// The same of the keys `canary.NAME`, when all backends are read.
void check_canary_keys(const service_config& service, section<service_config>& s);

}  // namespace pgsluice::control
