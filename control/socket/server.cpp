// The control socket's server: one thread accepts, one thread a connection runs its command.
#include "control/socket/server.hpp"

#include "control/socket/unix_socket.hpp"

#include <boost/json/serialize.hpp>
#include <spdlog/spdlog.h>

#include <atomic>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

namespace pgsluice::control {
namespace {

constexpr std::chrono::seconds request_timeout{10};

std::string final_line(const outcome& ended) {
    boost::json::object line;
    line["exit"] = static_cast<int>(ended.exit);
    line["result"] = ended.result;
    if (!ended.error.empty()) {
        line["error"] = ended.error;
    }
    return boost::json::serialize(line);
}

bool is_allowed(int fd) {
    const auto user = peer_user(fd);
    return user && (*user == 0 || *user == ::geteuid());
}

}  // namespace

/// A peer and the thread that runs its command; kept until the thread is joined.
struct control_socket::connection {
    explicit connection(line_channel peer) : channel(std::move(peer)) {}

    line_channel channel;
    std::thread thread{};
    std::atomic<bool> is_over = false;
};

result<std::unique_ptr<control_socket>>
control_socket::start(const std::string& path, command_runner runner) {
    auto listener = listen_control(path);
    if (!listener) {
        return listener.error();
    }
    return start(path, std::move(*listener), std::move(runner));
}

result<std::unique_ptr<control_socket>>
control_socket::start(const std::string& path, unique_fd listener, command_runner runner) {
    unique_fd wake(::eventfd(0, EFD_CLOEXEC));
    if (!wake.is_open()) {
        ::unlink(path.c_str());
        return file_failure("cannot make an event for", path);
    }
    return std::unique_ptr<control_socket>(
        new control_socket(path, std::move(listener), std::move(wake), std::move(runner))
    );
}

control_socket::control_socket(
    std::string path, unique_fd listener, unique_fd wake, command_runner runner
)
    : path_(std::move(path)), listener_(std::move(listener)), wake_(std::move(wake)),
      runner_(std::move(runner)), accepting_([this] { accept_loop(); }) {}

control_socket::~control_socket() {
    ::eventfd_write(wake_.get(), 1);
    accepting_.join();
    ::unlink(path_.c_str());
}

void control_socket::accept_loop() {
    while (true) {
        pollfd waiting[] = {{listener_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
        if (::poll(waiting, 2, -1) < 0) {
            continue;
        }
        if (waiting[1].revents != 0) {
            break;
        }
        accept_one();
    }
    listener_ = unique_fd();
    reap(true);
}

void control_socket::accept_one() {
    line_channel channel(unique_fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)));
    if (channel.fd() < 0) {
        return;
    }
    reap(false);
    if (!is_allowed(channel.fd())) {
        spdlog::warn("control_peer_refused");
        (void)channel.write_line(final_line(outcome::of(exit_code::refused, "not your daemon")));
        return;
    }
    if (connections_.size() >= connections_max) {
        const std::string text =
            "too many commands at once (" + std::to_string(connections_max) + ")";
        (void)channel.write_line(final_line(outcome::of(exit_code::refused, text)));
        return;
    }
    connection& added = connections_.emplace_back(std::move(channel));
    added.thread = std::thread([this, &added] {
        serve(added);
        ::shutdown(added.channel.fd(), SHUT_RDWR);
        added.is_over = true;
    });
}

/// Joins the threads that have ended; `all` waits for the others.
void control_socket::reap(bool all) {
    for (auto each = connections_.begin(); each != connections_.end();) {
        if (all) {
            ::shutdown(each->channel.fd(), SHUT_RD);
        }
        if (all || each->is_over) {
            each->thread.join();
            each = connections_.erase(each);
        } else {
            ++each;
        }
    }
}

void control_socket::serve(connection& peer) {
    line_channel& channel = peer.channel;
    const auto deadline = line_channel::clock::now() + request_timeout;
    const auto line = channel.read_line(request_bytes_max, deadline);
    if (line && !*line) {
        return;  // a probe whether somebody listens
    }
    const auto given = line ? parse_request(**line) : result<request>(line.error());
    if (!given) {
        (void)channel.write_line(final_line(outcome::of(exit_code::usage, given.error().message)));
        return;
    }
    request asked = *given;
    asked.asked_by = peer_name(channel.fd());
    bool is_peer_there = true;
    const progress_sink tell = [&](const boost::json::object& progress) {
        if (is_peer_there) {
            const boost::json::object line_out{{"progress", progress}};
            is_peer_there = channel.write_line(boost::json::serialize(line_out)).has_value();
        }
    };
    outcome ended;
    try {
        ended = runner_(asked, tell);
    } catch (const std::exception& e) {
        spdlog::error("command_failed command={} what={}", asked.what->name, e.what());
        ended = outcome::of(exit_code::needs_operator, std::string("internal error: ") + e.what());
    }
    if (is_peer_there) {
        (void)channel.write_line(final_line(ended));
    }
}

}  // namespace pgsluice::control
