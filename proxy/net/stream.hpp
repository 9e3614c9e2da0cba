#pragma once

#include "proxy/net/endpoint.hpp"
#include "proxy/net/io_result.hpp"
#include "proxy/net/reactor.hpp"
#include "proxy/net/task.hpp"
#include "proxy/net/wait_point.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace pgsluice::proxy {

using byte_view = std::span<const std::uint8_t>;

class tls_channel;

/// A connected non-blocking socket and its registration with the worker's reactor, plain or with
/// TLS on it. Owns the descriptor. The one place where bytes enter and leave.
class stream {
public:
    explicit stream(reactor& r) noexcept;
    ~stream();
    stream(const stream&) = delete;
    stream& operator=(const stream&) = delete;

    /// Takes over a connected or connecting non-blocking socket.
    void adopt(int fd) noexcept;
    bool is_open() const noexcept { return fd_ >= 0; }
    int fd() const noexcept { return fd_; }

    /// From now on bytes go through TLS. The channel was made for fd(); shake_hands() has to come
    /// before anything is read or sent.
    void secure(std::unique_ptr<tls_channel> channel) noexcept;
    bool is_secure() const noexcept { return tls_ != nullptr; }
    /// Null for a plain connection.
    tls_channel* tls() const noexcept { return tls_.get(); }

    io_result recv(std::span<std::uint8_t> into) noexcept;
    io_result send(byte_view bytes) noexcept;

    /// The first bytes that wait to be read, without reading them.
    io_result peek(std::span<std::uint8_t> into) noexcept;

    /// No more bytes will be sent; what the peer still sends can be read.
    void shutdown_send() noexcept;
    void close() noexcept;

    /// Closes so that the peer sees a reset instead of an orderly end.
    void abort() noexcept;

    /// Registers for `events` (0 hears only of errors and hang-ups); the sink hears them.
    void watch(std::uint32_t events, io_sink* sink);
    void unwatch() noexcept;
    /// As unwatch(), in the expectation that somebody will watch() again soon.
    void rest() noexcept;

    reactor& loop() const noexcept { return reactor_; }

private:
    [[gnu::noinline]] io_result recv_tls(std::span<std::uint8_t> into) noexcept;
    [[gnu::noinline]] io_result send_tls(byte_view bytes) noexcept;
    void hear_of_unread() noexcept;

    reactor& reactor_;
    io_watch watch_;
    int fd_ = -1;
    std::unique_ptr<tls_channel> tls_;
};

/// Turns readiness into a wake of a coroutine.
class wake_sink final : public io_sink {
public:
    explicit wake_sink(wait_point& p) noexcept : point_(p) {}
    void on_io(std::uint32_t events) override {
        events_ |= events;
        point_.notify();
    }
    std::uint32_t take() noexcept { return std::exchange(events_, 0U); }

private:
    wait_point& point_;
    std::uint32_t events_ = 0;
};

/// Waits for `events`. Fails as read_some().
task<io_result>
await_events(stream& s, wait_point& point, std::uint32_t events, steady_time deadline);

/// Waits until something can be read (or the peer is gone) and reads it. A failed result with
/// error ETIMEDOUT is the deadline, ECANCELED a cancelled coroutine.
task<io_result>
read_some(stream& s, wait_point& point, std::span<std::uint8_t> into, steady_time deadline);

/// As read_some(), for an answer that cannot be there yet: does not look before it waits.
task<io_result>
read_answer(stream& s, wait_point& point, std::span<std::uint8_t> into, steady_time deadline);

/// Sends all of `bytes`, which must stay valid. Errors as for read_some().
task<io_result> write_all(stream& s, wait_point& point, byte_view bytes, steady_time deadline);

/// Connects to one address. The stream is open when the result is done().
task<io_result>
connect_to(stream& s, wait_point& point, const endpoint& address, steady_time deadline);

/// TCP_NODELAY and keepalive probes that find a dead peer within about two minutes. Between peers
/// of one machine there is no congestion to control: there it is the least costly algorithm (reno,
/// which every kernel has; tcp(7)), where the system's own may be one that models a network.
void tune_tcp(int fd) noexcept;

/// "Connection refused", "timed out after its deadline", ...
std::string describe(const io_result& r);

}  // namespace pgsluice::proxy
