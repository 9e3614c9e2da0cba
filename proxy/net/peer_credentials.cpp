// Who is at the other end of a unix socket (SO_PEERCRED, unix(7)).

#include "proxy/net/peer_credentials.hpp"

#include <pwd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <vector>

namespace pgsluice::proxy {

std::optional<std::string> peer_user(int fd) {
    ucred who{};
    socklen_t size = sizeof who;
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0 || who.pid == 0) {
        return std::nullopt;
    }
    constexpr std::size_t entry_bytes_max = 64 * 1024;
    std::vector<char> space(entry_bytes_max);
    passwd entry{};
    passwd* found = nullptr;
    if (::getpwuid_r(who.uid, &entry, space.data(), space.size(), &found) != 0 ||
        found == nullptr) {
        return std::nullopt;
    }
    return std::string(found->pw_name);
}

}  // namespace pgsluice::proxy
