#pragma once

#include "control/commands/request.hpp"

namespace pgsluice::control {

/// A command that works at once or in stages is given exactly one of RANGES, --stages, --pause,
/// --resume and --skip.
result<void> check_one_way(const request& given);

}  // namespace pgsluice::control
