// Unix sockets with lines on them, for the control socket and its client.
#include "control/socket/unix_socket.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace pgsluice::control {
namespace {

constexpr std::chrono::seconds write_timeout{5};
constexpr int listen_backlog = 16;

failure no_line(std::string why) {
    return failure{"08006", std::move(why), {}, {}};
}

/// Milliseconds left for poll(2), rounded up.
int left_ms(line_channel::clock::time_point deadline) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - line_channel::clock::now());
    constexpr std::int64_t poll_ms_max = 60'000;
    return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, poll_ms_max));
}

/// True when the descriptor is ready for `events` before the deadline.
bool is_ready(int fd, short events, line_channel::clock::time_point deadline) {
    while (true) {
        pollfd waiting{fd, events, 0};
        if (::poll(&waiting, 1, left_ms(deadline)) > 0) {
            return true;
        }
        if (line_channel::clock::now() >= deadline) {
            return false;
        }
    }
}

result<sockaddr_un> address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path) {
        return failure{"22023", "socket path \"" + path + "\" is empty or too long", {}, {}};
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    return address;
}

const sockaddr* generic(const sockaddr_un& address) {
    return reinterpret_cast<const sockaddr*>(&address);
}

/// /run is emptied at boot, so the directory may have to be made.
void make_parent(const std::string& path) {
    constexpr mode_t mode = 0755;
    const std::size_t slash = path.rfind('/');
    if (slash != std::string::npos && slash > 0) {
        ::mkdir(path.substr(0, slash).c_str(), mode);
    }
}

/// Removes the file of a socket whose process is gone.
result<void> remove_stale(const std::string& path) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) {
        return {};
    }
    if (!S_ISSOCK(status.st_mode)) {
        return failure{"58030", path + " exists and is not a socket", {}, {}};
    }
    if (connect_control(path)) {
        return failure{"55006", "another process listens on " + path, {}, {}};
    }
    if (errno != ECONNREFUSED || ::unlink(path.c_str()) != 0) {
        return file_failure("cannot replace the socket", path);
    }
    return {};
}

}  // namespace

result<std::optional<std::string>>
line_channel::read_line(std::size_t bytes_max, clock::time_point deadline) {
    std::size_t searched = 0;
    while (true) {
        const std::size_t end = received_.find('\n', searched);
        if (end != std::string::npos) {
            std::optional<std::string> line = received_.substr(0, end);
            received_.erase(0, end + 1);
            return line;
        }
        searched = received_.size();
        if (received_.size() > bytes_max) {
            return no_line("a line longer than " + std::to_string(bytes_max) + " bytes");
        }
        if (!is_ready(fd(), POLLIN, deadline)) {
            return no_line("no complete line before the deadline");
        }
        char buffer[16384];
        const ssize_t n = ::recv(fd(), buffer, sizeof buffer, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            continue;
        }
        if (n < 0 || (n == 0 && !received_.empty())) {
            return no_line("the peer closed the connection amid a line");
        }
        if (n == 0) {
            return std::optional<std::string>();
        }
        received_.append(buffer, static_cast<std::size_t>(n));
    }
}

result<void> line_channel::write_line(std::string_view line) {
    std::string text(line);
    text += '\n';
    std::string_view rest = text;
    while (!rest.empty()) {
        const ssize_t n = ::send(fd(), rest.data(), rest.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n >= 0) {
            rest.remove_prefix(static_cast<std::size_t>(n));
        } else if (errno == EAGAIN) {
            if (!is_ready(fd(), POLLOUT, clock::now() + write_timeout)) {
                return no_line("the peer takes nothing");
            }
        } else if (errno != EINTR) {
            return no_line(std::string("cannot send: ") + std::strerror(errno));
        }
    }
    return {};
}

result<line_channel> connect_control(const std::string& path) {
    const auto address = address_of(path);
    if (!address) {
        return address.error();
    }
    unique_fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket.is_open() || ::connect(socket.get(), generic(*address), sizeof *address) != 0) {
        const int saved = errno;
        failure why{"08001", "cannot connect to " + path + ": " + std::strerror(saved), {}, {}};
        errno = saved;
        return why;
    }
    return line_channel(std::move(socket));
}

result<unique_fd> listen_control(const std::string& path) {
    const auto address = address_of(path);
    if (!address) {
        return address.error();
    }
    make_parent(path);
    if (auto removed = remove_stale(path); !removed) {
        return removed.error();
    }
    unique_fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    // Linux gives the file the mode of the unbound socket, so that it is never open to others.
    constexpr mode_t owner_only = 0600;
    if (!socket.is_open() || ::fchmod(socket.get(), owner_only) != 0 ||
        ::bind(socket.get(), generic(*address), sizeof *address) != 0 ||
        ::listen(socket.get(), listen_backlog) != 0) {
        return file_failure("cannot listen on", path);
    }
    return socket;
}

result<unsigned> peer_user(int fd) {
    ucred peer{};
    socklen_t length = sizeof peer;
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) {
        return file_failure("cannot tell the peer of", "the control socket");
    }
    return peer.uid;
}

std::string peer_name(int fd) {
    const auto user = peer_user(fd);
    if (!user) {
        return "unknown";
    }
    passwd entry{};
    passwd* found = nullptr;
    std::array<char, 4096> names{};
    if (::getpwuid_r(*user, &entry, names.data(), names.size(), &found) == 0 && found != nullptr) {
        return found->pw_name;
    }
    return "uid " + std::to_string(*user);
}

}  // namespace pgsluice::control
