#pragma once

#include "control/postgres/pg_client.hpp"

#include <span>
#include <string>

namespace pgsluice::control {

/// Reads relations into a server's shared buffers with pg_prewarm (Additional Supplied Modules),
/// one after the other, partitions too, as far as it gets by the deadline. What cannot be read is
/// told in the line that this yields; fails only on an abort.
step_result<std::string>
prewarm(const pg_login& login, std::span<const std::string> relations, const limits& until);

}  // namespace pgsluice::control
