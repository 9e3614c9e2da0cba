#pragma once

#include "control/cutover/runner.hpp"
#include "control/preflight/expectations.hpp"

namespace pgsluice::control {

/// What a preflight is told of the service's traffic. `service` must outlive the answer.
preflight_expectations expect(traffic& service, const cutover_request& asked);

}  // namespace pgsluice::control
