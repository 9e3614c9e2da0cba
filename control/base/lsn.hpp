#pragma once

#include <cstdint>
#include <string>

namespace pgsluice::control {

/// A position in a server's write-ahead log.
using lsn = std::uint64_t;

/// As PostgreSQL writes it, "16/B374D848" (pg_lsn Type).
std::string lsn_text(lsn position);

}  // namespace pgsluice::control
