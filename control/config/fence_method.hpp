#pragma once

#include <cstdint>

namespace pgsluice::control {

/// How a cutover keeps the server that it leaves from taking writes beside pgsluice.
enum class fence_method : std::uint8_t {
    none,
    default_read_only,  ///< new sessions are read-only by default
    lock_tables,        ///< that, and until the end of the cutover nobody changes a row
    revoke_connect,     ///< nobody but superusers may log in
    command,            ///< the operator's own
};

}  // namespace pgsluice::control
