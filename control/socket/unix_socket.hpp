#pragma once

#include "control/base/file.hpp"
#include "protocol/errors.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace pgsluice::control {

/// A connected control socket, read and written by whole lines. One thread at a time.
class line_channel {
public:
    using clock = std::chrono::steady_clock;
    /// Longer lines end the channel with a failure.
    static constexpr std::size_t line_bytes_max = 64UL * 1024 * 1024;

    explicit line_channel(unique_fd socket);
    line_channel(line_channel&& other) noexcept;
    line_channel& operator=(line_channel&& other) noexcept;
    ~line_channel();

    /// The next line without its line feed; nothing when the peer closed at a line's end. Fails at
    /// the deadline, on a line longer than `bytes_max`, and when the peer closed amid a line.
    result<std::optional<std::string>> read_line(std::size_t bytes_max, clock::time_point deadline);

    /// Sends `line` and a line feed. Fails when the peer is gone or takes nothing for 5 seconds.
    result<void> write_line(std::string_view line);

    int fd() const;

private:
    struct parts;
    std::unique_ptr<parts> parts_;
};

/// Connects to the control socket. Fails with SQLSTATE 08001 when nobody listens there.
result<line_channel> connect_control(const std::string& path);

/// Binds and listens with mode 0600. A socket file that nobody listens on is replaced; that of a
/// running process is a failure.
result<unique_fd> listen_control(const std::string& path);

/// The user id of the peer (SO_PEERCRED, unix(7)).
result<unsigned> peer_user(int fd);

/// The peer for the records: the name of its user, `uid N` where that has none.
std::string peer_name(int fd);

}  // namespace pgsluice::control
