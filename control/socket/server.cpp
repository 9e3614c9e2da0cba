// The control socket's server. One thread runs an io_context with a coroutine for each connection;
// commands block, and run on a pool with as many threads as connections are allowed, so that none
// waits for another: `abort` and `status` are answered while everything else waits.
//
//   accept_peers -> serve_peer: read a line -> run the command on the pool -> write the last line
//                                              its progress: written here, the command waits
#include "control/socket/server.hpp"

#include "control/socket/unix_socket.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/json/serialize.hpp>
#include <spdlog/spdlog.h>

#include <chrono>
#include <future>
#include <set>
#include <thread>
#include <unistd.h>

namespace pgsluice::control {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using socket_type = asio::local::stream_protocol::socket;
using namespace asio::experimental::awaitable_operators;

constexpr auto as_values = asio::as_tuple(asio::use_awaitable);
constexpr std::chrono::seconds request_timeout{10};
constexpr std::chrono::seconds write_timeout{5};
constexpr std::chrono::milliseconds accept_pause{100};

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

failure no_line(std::string why) {
    return {
        .sqlstate = std::string(sqlstate::connection_failure),
        .message = std::move(why),
        .detail = {},
        .hint = {}};
}

/// The end of a coroutine that nobody waits for.
void log_end(const std::exception_ptr& error) {
    try {
        if (error) {
            std::rethrow_exception(error);
        }
    } catch (const std::exception& e) {
        spdlog::error("control_connection_failed reason=\"{}\"", e.what());
    }
}

/// The first line that a peer sends; nothing when it closes without a byte.
awaitable<result<std::optional<std::string>>> read_request(socket_type& peer) {
    constexpr std::size_t bytes_max = control_socket::request_bytes_max;
    std::string text;
    asio::steady_timer deadline(peer.get_executor(), request_timeout);
    auto either =
        asio::async_read_until(peer, asio::dynamic_buffer(text, bytes_max + 1), '\n', as_values) ||
        deadline.async_wait(as_values);
    auto first = co_await std::move(either);
    if (first.index() == 1) {
        co_return no_line("no complete line before the deadline");
    }
    const auto [error, bytes] = std::get<0>(first);
    if (!error) {
        text.resize(bytes - 1);
        co_return std::optional<std::string>(std::move(text));
    }
    if (text.size() > bytes_max) {
        co_return no_line("a line longer than " + std::to_string(bytes_max) + " bytes");
    }
    if (!text.empty()) {
        co_return no_line("the peer closed the connection amid a line");
    }
    co_return std::optional<std::string>();
}

/// False when the peer is gone, or takes nothing for some time. A peer that reads slowly has as
/// much time as it needs.
awaitable<bool> write_line(socket_type& peer, std::string line) {
    line += '\n';
    asio::steady_timer deadline(peer.get_executor());
    for (std::size_t sent = 0; sent < line.size();) {
        deadline.expires_after(write_timeout);
        auto either = peer.async_write_some(asio::buffer(line) + sent, as_values) ||
                      deadline.async_wait(as_values);
        auto first = co_await std::move(either);
        if (first.index() == 1) {
            co_return false;
        }
        const auto [error, bytes] = std::get<0>(first);
        if (error) {
            co_return false;
        }
        sent += bytes;
    }
    co_return true;
}

/// Counts a peer among those that are served, until its coroutine ends, by an exception or not.
class served_peer {
public:
    served_peer(std::set<socket_type*>& all, socket_type& peer) : all_(all), peer_(peer) {
        all_.insert(&peer_);
    }
    ~served_peer() { all_.erase(&peer_); }
    served_peer(const served_peer&) = delete;
    served_peer& operator=(const served_peer&) = delete;

private:
    std::set<socket_type*>& all_;
    socket_type& peer_;
};

}  // namespace

struct control_socket::parts {
    parts(std::string at, int listener, command_runner run)
        : path(std::move(at)), runner(std::move(run)),
          acceptor(io, asio::local::stream_protocol(), listener) {}

    awaitable<void> accept_peers();
    awaitable<void> serve_peer(socket_type peer);
    awaitable<void> run_command(socket_type& peer, request asked);
    awaitable<outcome> on_pool(socket_type& peer, request& asked, bool& is_peer_there);
    void stop();

    std::string path;
    command_runner runner;
    std::set<socket_type*> peers;  ///< touched by the io_context's thread only
    asio::io_context io;
    asio::local::stream_protocol::acceptor acceptor;
    asio::thread_pool commands{connections_max};
    std::thread thread;
};

awaitable<void> control_socket::parts::accept_peers() {
    while (acceptor.is_open()) {
        auto [error, peer] = co_await acceptor.async_accept(as_values);
        if (!error) {
            asio::co_spawn(io, serve_peer(std::move(peer)), log_end);
        } else if (acceptor.is_open()) {  // out of descriptors: the peer waits in the queue
            asio::steady_timer pause(io, accept_pause);
            co_await pause.async_wait(as_values);
        }
    }
}

awaitable<void> control_socket::parts::serve_peer(socket_type peer) {
    if (!is_allowed(peer.native_handle())) {
        spdlog::warn("control_peer_refused");
        auto refusal = final_line(outcome::of(exit_code::refused, "not your daemon"));
        co_await write_line(peer, std::move(refusal));
        co_return;
    }
    if (peers.size() >= connections_max) {
        const std::string text =
            "too many commands at once (" + std::to_string(connections_max) + ")";
        auto refusal = final_line(outcome::of(exit_code::refused, text));
        co_await write_line(peer, std::move(refusal));
        co_return;
    }
    const served_peer served(peers, peer);
    auto line = co_await read_request(peer);
    if (line && *line) {
        auto given = parse_request(**line);
        line = given ? line : result<std::optional<std::string>>(given.error());
        if (given) {
            co_await run_command(peer, std::move(*given));
        }
    }
    if (!line) {
        auto refusal = final_line(outcome::of(exit_code::usage, line.error().message));
        co_await write_line(peer, std::move(refusal));
    }
    boost::system::error_code ignored;
    peer.shutdown(socket_type::shutdown_both, ignored);
}

awaitable<void> control_socket::parts::run_command(socket_type& peer, request asked) {
    bool is_peer_there = true;
    outcome ended;
    try {
        auto running =
            asio::co_spawn(commands, on_pool(peer, asked, is_peer_there), asio::use_awaitable);
        ended = co_await std::move(running);
    } catch (const std::exception& e) {
        spdlog::error("command_failed command={} reason=\"{}\"", asked.what->name, e.what());
        ended = outcome::of(exit_code::needs_operator, std::string("internal error: ") + e.what());
    }
    if (is_peer_there) {
        auto last = final_line(ended);
        co_await write_line(peer, std::move(last));
    }
}

/// Runs on a thread of the pool, which waits while a line of progress is being written, and for the
/// user's name: a directory service that does not answer must not keep others from their commands.
awaitable<outcome>
control_socket::parts::on_pool(socket_type& peer, request& asked, bool& is_peer_there) {
    asked.asked_by = peer_name(peer.native_handle());
    const progress_sink tell = [&](const boost::json::object& progress) {
        if (is_peer_there) {
            const boost::json::object line{{"progress", progress}};
            auto written = asio::co_spawn(
                io, write_line(peer, boost::json::serialize(line)), asio::use_future
            );
            is_peer_there = written.get();
        }
    };
    co_return runner(asked, tell);
}

void control_socket::parts::stop() {
    boost::system::error_code ignored;
    acceptor.close(ignored);
    for (socket_type* const peer : peers) {
        peer->shutdown(socket_type::shutdown_receive, ignored);
    }
}

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
    auto all = std::make_unique<parts>(path, listener.release(), std::move(runner));
    return std::unique_ptr<control_socket>(new control_socket(std::move(all)));
}

control_socket::control_socket(std::unique_ptr<parts> all) : parts_(std::move(all)) {
    asio::co_spawn(parts_->io, parts_->accept_peers(), log_end);
    parts_->thread = std::thread([this] { parts_->io.run(); });
}

control_socket::~control_socket() {
    asio::post(parts_->io, [this] { parts_->stop(); });
    parts_->thread.join();  // its io_context has work until the last command has ended
    parts_->commands.join();
    ::unlink(parts_->path.c_str());
}

}  // namespace pgsluice::control
