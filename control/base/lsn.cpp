// Log positions as texts.

#include "control/base/lsn.hpp"

#include <fmt/format.h>

namespace pgsluice::control {

std::string lsn_text(lsn position) {
    return fmt::format("{:X}/{:X}", position >> 32, position & 0xFFFFFFFF);
}

}  // namespace pgsluice::control
