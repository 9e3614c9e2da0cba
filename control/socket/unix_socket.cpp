// Unix sockets with lines on them: the client's half by Asio, and what a listener needs of the
// file.
#include "control/socket/unix_socket.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read_until.hpp>

#include <array>
#include <cerrno>
#include <cstring>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace pgsluice::control {
namespace {

namespace asio = boost::asio;

constexpr std::chrono::seconds write_timeout{5};
constexpr int listen_backlog = 16;

failure no_line(std::string why) {
    return failure{"08006", std::move(why), {}, {}};
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

/// A socket and an io_context that runs while something is waited for.
struct line_channel::parts {
    explicit parts(unique_fd connected)
        : socket(io, asio::local::stream_protocol(), connected.release()) {}

    /// Runs what was started until `deadline`; false when it was not done then, and is cancelled.
    bool finish_until(clock::time_point deadline) {
        io.restart();
        if (deadline == clock::time_point::max()) {
            io.run();
        } else {
            io.run_until(deadline);
        }
        const bool is_done = io.stopped();
        if (!is_done) {
            socket.cancel();
            io.run();
        }
        return is_done;
    }

    asio::io_context io{1};
    asio::local::stream_protocol::socket socket;
    std::string received;
};

line_channel::line_channel(unique_fd socket) : parts_(std::make_unique<parts>(std::move(socket))) {}
line_channel::line_channel(line_channel&& other) noexcept = default;
line_channel& line_channel::operator=(line_channel&& other) noexcept = default;
line_channel::~line_channel() = default;

int line_channel::fd() const {
    return parts_->socket.native_handle();
}

result<std::optional<std::string>>
line_channel::read_line(std::size_t bytes_max, clock::time_point deadline) {
    std::string& received = parts_->received;
    boost::system::error_code failed;
    std::size_t bytes = 0;
    asio::async_read_until(
        parts_->socket,
        asio::dynamic_buffer(received, bytes_max + 1),
        '\n',
        [&](const boost::system::error_code& error, std::size_t found) {
            failed = error;
            bytes = found;
        }
    );
    if (!parts_->finish_until(deadline)) {
        return no_line("no complete line before the deadline");
    }
    if (!failed) {
        std::optional<std::string> line = received.substr(0, bytes - 1);
        received.erase(0, bytes);
        return line;
    }
    if (received.size() > bytes_max) {
        return no_line("a line longer than " + std::to_string(bytes_max) + " bytes");
    }
    if (failed != asio::error::eof || !received.empty()) {
        return no_line("the peer closed the connection amid a line");
    }
    return std::optional<std::string>();
}

result<void> line_channel::write_line(std::string_view line) {
    const std::string text = std::string(line) + '\n';
    for (std::size_t sent = 0; sent < text.size();) {
        boost::system::error_code failed;
        parts_->socket.async_write_some(
            asio::buffer(text) + sent,
            [&](const boost::system::error_code& error, std::size_t bytes) {
                failed = error;
                sent += bytes;
            }
        );
        if (!parts_->finish_until(clock::now() + write_timeout)) {
            return no_line("the peer takes nothing");
        }
        if (failed) {
            return no_line("cannot send: " + failed.message());
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
