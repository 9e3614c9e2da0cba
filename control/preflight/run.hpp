#pragma once

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

}  // namespace pgsluice::control
