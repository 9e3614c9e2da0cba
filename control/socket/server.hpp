#pragma once

#include "control/base/file.hpp"
#include "control/commands/outcome.hpp"
#include "control/commands/request.hpp"

#include <functional>
#include <memory>
#include <string>

namespace pgsluice::control {

/// Serves operator commands on a unix socket (mode 0600; peers must be the same user or root). The
/// protocol is one command a connection, in JSON lines:
///
///   request  = {"command": NAME, "service"?: NAME, "arguments"?: {NAME: TEXT | true}}
///   answer   = { {"progress": {...}} } final
///   final    = {"exit": N, "result": {...}, "error"?: TEXT}
///
/// A peer that hangs up cancels nothing: its command goes on to its own end.
class control_socket {
public:
    /// Runs one command, which may block; called from several threads, one a command under way.
    using command_runner = std::function<outcome(const request&, const progress_sink&)>;

    static constexpr std::size_t connections_max = 16;
    static constexpr std::size_t request_bytes_max = 64UL * 1024;

    /// Binds `path` and starts to serve. See listen_control() for what can fail.
    static result<std::unique_ptr<control_socket>>
    start(const std::string& path, command_runner runner);
    /// As above on a socket that listen_control(path) gave: peers that came in between are served
    /// now. Owns the file from here on.
    static result<std::unique_ptr<control_socket>>
    start(const std::string& path, unique_fd listener, command_runner runner);
    /// Stops accepting, waits for the commands under way and removes the socket file. Peers that
    /// have not sent their command yet are hung up.
    ~control_socket();
    control_socket(const control_socket&) = delete;
    control_socket& operator=(const control_socket&) = delete;

private:
    struct parts;
    explicit control_socket(std::unique_ptr<parts> all);

    std::unique_ptr<parts> parts_;
};

}  // namespace pgsluice::control
