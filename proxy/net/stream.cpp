// Sockets, plain or with TLS on them, and the waits that coroutines make on them.

#include "proxy/net/stream.hpp"

#include "proxy/net/tls_channel.hpp"

#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace pgsluice::proxy {

namespace {

io_result outcome(ssize_t n, bool reading) noexcept {
    if (n > 0) {
        return {.bytes = static_cast<std::size_t>(n)};
    }
    if (n == 0) {
        return {.what = reading ? io_result::status::end : io_result::status::done};
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
        return {.what = io_result::status::again};
    }
    return {.what = io_result::status::failed, .error = errno};
}

io_result failed(int error) noexcept {
    return {.what = io_result::status::failed, .error = error};
}

}  // namespace

stream::stream(reactor& r) noexcept : reactor_(r) {}

stream::~stream() {
    close();
}

void stream::adopt(int fd) noexcept {
    close();
    fd_ = fd;
}

void stream::secure(std::unique_ptr<tls_channel> channel) noexcept {
    tls_ = std::move(channel);
}

// What TLS does is in functions of its own, so that these need no more than a branch for it.

io_result stream::recv(std::span<std::uint8_t> into) noexcept {
    if (tls_) [[unlikely]] {
        return recv_tls(into);
    }
    return outcome(::recv(fd_, into.data(), into.size(), 0), true);
}

io_result stream::send(byte_view bytes) noexcept {
    if (tls_) [[unlikely]] {
        return send_tls(bytes);
    }
    return outcome(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL), false);
}

/// epoll knows only of what the socket holds, not of bytes that TLS has taken from it already.
void stream::hear_of_unread() noexcept {
    if (!watch_.is_registered()) {
        return;
    }
    if (tls_->has_unread()) {
        reactor_.kick(watch_);
    }
    if (tls_->wants_write()) {
        reactor_.set(watch_, watch_.events() | EPOLLOUT);
    }
}

io_result stream::recv_tls(std::span<std::uint8_t> into) noexcept {
    const io_result r = tls_->recv(into);
    hear_of_unread();
    return r;
}

io_result stream::send_tls(byte_view bytes) noexcept {
    if (tls_->wants_write() && watch_.is_registered()) {
        reactor_.kick(watch_);  // the socket takes bytes again: the reader goes on
    }
    return tls_->send(bytes);
}

io_result stream::peek(std::span<std::uint8_t> into) noexcept {
    if (tls_) [[unlikely]] {
        const io_result r = tls_->peek(into);
        hear_of_unread();
        return r;
    }
    return outcome(::recv(fd_, into.data(), into.size(), MSG_PEEK), true);
}

void stream::shutdown_send() noexcept {
    if (tls_) {
        tls_->say_goodbye();
    }
    ::shutdown(fd_, SHUT_WR);
}

void stream::close() noexcept {
    if (fd_ >= 0) {
        unwatch();
        if (tls_) {
            tls_->say_goodbye();
            tls_.reset();
        }
        ::close(fd_);
        fd_ = -1;
    }
}

void stream::abort() noexcept {
    if (fd_ >= 0) {
        const linger reset{.l_onoff = 1, .l_linger = 0};
        setsockopt(fd_, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close();
    }
}

void stream::watch(std::uint32_t events, io_sink* sink) {
    if (tls_ && tls_->wants_write() && (events & EPOLLIN) != 0) [[unlikely]] {
        events |= EPOLLOUT;
    }
    if (watch_.is_registered()) {
        reactor_.set(watch_, events, sink);
    } else {
        reactor_.add(watch_, fd_, events, sink);
    }
    if (tls_ && (events & EPOLLIN) != 0 && tls_->has_unread()) [[unlikely]] {
        reactor_.kick(watch_);
    }
}

void stream::unwatch() noexcept {
    reactor_.remove(watch_);
}

void stream::rest() noexcept {
    reactor_.rest(watch_);
}

task<io_result>
await_events(stream& s, wait_point& point, std::uint32_t events, steady_time deadline) {
    wake_sink sink(point);
    s.watch(events, &sink);
    wake why = wake::event;
    while (why == wake::event && sink.take() == 0) {  // a wake of an earlier wait is no readiness
        why = co_await point.until(deadline);
    }
    s.rest();
    if (why == wake::cancelled) {
        co_return failed(ECANCELED);
    }
    if (why == wake::deadline) {
        co_return failed(ETIMEDOUT);
    }
    co_return io_result{};
}

task<io_result>
read_some(stream& s, wait_point& point, std::span<std::uint8_t> into, steady_time deadline) {
    for (;;) {
        const io_result r = s.recv(into);
        if (!r.again()) {
            co_return r;
        }
        const io_result waited = co_await await_events(s, point, EPOLLIN, deadline);
        if (!waited.done()) {
            co_return waited;
        }
    }
}

task<io_result>
read_answer(stream& s, wait_point& point, std::span<std::uint8_t> into, steady_time deadline) {
    const io_result waited = co_await await_events(s, point, EPOLLIN, deadline);
    if (!waited.done()) {
        co_return waited;
    }
    co_return co_await read_some(s, point, into, deadline);
}

task<io_result> write_all(stream& s, wait_point& point, byte_view bytes, steady_time deadline) {
    while (!bytes.empty()) {
        const io_result r = s.send(bytes);
        if (r.over()) {
            co_return r;
        }
        if (r.done()) {
            bytes = bytes.subspan(r.bytes);
            continue;
        }
        const io_result waited = co_await await_events(s, point, EPOLLOUT, deadline);
        if (!waited.done()) {
            co_return waited;
        }
    }
    co_return io_result{};
}

task<io_result>
connect_to(stream& s, wait_point& point, const endpoint& address, steady_time deadline) {
    const int family = address.address.ss_family;
    const int fd = ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        co_return failed(errno);
    }
    s.adopt(fd);
    if (family != AF_UNIX) {
        tune_tcp(fd);
    }
    const auto* to = reinterpret_cast<const sockaddr*>(&address.address);
    if (::connect(fd, to, address.length) == 0) {
        co_return io_result{};
    }
    // A unix socket whose backlog is full says EAGAIN and cannot be waited for: it counts as
    // refused.
    if (errno != EINPROGRESS) {
        const int error = errno;
        s.close();
        co_return failed(error);
    }
    // On one machine the connection stands, or is refused, already; EAGAIN says neither.
    if (::send(fd, "", 0, MSG_NOSIGNAL) == 0) {
        co_return io_result{};
    }
    if (errno != EAGAIN) {
        const int error = errno;
        s.close();
        co_return failed(error);
    }
    const io_result waited = co_await await_events(s, point, EPOLLOUT, deadline);
    int error = waited.error;
    if (waited.done()) {
        socklen_t size = sizeof error;
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    }
    if (error != 0) {
        s.close();
        co_return failed(error);
    }
    co_return io_result{};
}

namespace {

bool is_loopback(int fd) noexcept {
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) {
        return false;
    }
    if (peer.ss_family == AF_INET) {
        const auto& v4 = reinterpret_cast<const sockaddr_in&>(peer);
        return (ntohl(v4.sin_addr.s_addr) >> 24U) == IN_LOOPBACKNET;
    }
    return peer.ss_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6&>(peer).sin6_addr);
}

}  // namespace

void tune_tcp(int fd) noexcept {
    if (is_loopback(fd)) {
        setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
    }
    const int on = 1;
    const int idle_seconds = 60;
    const int interval_seconds = 15;
    const int probes = 4;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_seconds, sizeof idle_seconds);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_seconds, sizeof interval_seconds);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

std::string describe(const io_result& r) {
    switch (r.what) {
    case io_result::status::end:
        return "the connection was closed";
    case io_result::status::failed:
        return r.error == ETIMEDOUT ? "no answer within the time allowed"
               : r.error == EPROTO  ? "what was sent is not TLS, or was changed on the way"
                                    : std::strerror(r.error);
    default:
        return "no error";
    }
}

}  // namespace pgsluice::proxy
