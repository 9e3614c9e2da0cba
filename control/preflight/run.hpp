#pragma once

#include "control/commands/outcome.hpp"
#include "control/cutover/runner.hpp"
#include "control/preflight/checks.hpp"

#include <span>
#include <string>
#include <vector>

namespace pgsluice::control {

/// Makes every check of `table` that this kind of replication needs, in order, and gives a row or
/// more for each. A check whose question a server refuses is a finding; fails only when a server
/// does not answer any more, or at `until`.
step_result<std::vector<check_row>> run_checks(
    std::span<const check> table,
    const checked_pair& pair,
    const check_levels& levels,
    const limits& until
);

/// What a preflight is told of the service's traffic.
server_pair::expectations expect(traffic& service, const cutover_request& asked);

/// The answer to `preflight`: exit 1 when a row is an error.
outcome preflight_outcome(const cutover_request& asked, const std::vector<check_row>& rows);

}  // namespace pgsluice::control
