#pragma once

#include "protocol/errors.hpp"

namespace pgsluice::proxy {

/// What a client is told when the operator's policy ends its session.
using farewell = failure;

}  // namespace pgsluice::proxy
