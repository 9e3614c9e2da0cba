#pragma once

#include <optional>
#include <string>

namespace pgsluice::proxy {

/// The name that the operating system has for whoever opened the other end of a connected unix
/// socket (SO_PEERCRED, unix(7)); nullopt where it cannot tell. Asks the system's user database,
/// which may block.
std::optional<std::string> peer_user(int fd);

}  // namespace pgsluice::proxy
