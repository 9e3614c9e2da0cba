#pragma once

#include <string>

namespace pgsluice::proxy {

/// Why a session cannot be moved. The code is stable for scripts, the text for people.
struct pin_reason {
    std::string code;  ///< temp, hold_cursor, credentials, ... (docs/pins.md)
    std::string text;
};

}  // namespace pgsluice::proxy
