#include "tests/fuzz/memory_socket.hpp"

#include "protocol/errors.hpp"
#include "proxy/net/tls_channel.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace pgsluice::fuzz {

namespace {

std::array<memory_socket, memory_sockets_max> sockets;

}  // namespace

memory_socket& socket_of(int fd) {
    PGSLUICE_ASSERT(fd >= 0 && fd < memory_sockets_max);
    return sockets[static_cast<std::size_t>(fd)];
}

void forget_sockets() {
    sockets.fill({});
}

bool memory_socket::deliver(std::uint32_t which) {
    std::uint32_t ready = 0;
    if (!to_read.empty() || (peer_closed && !saw_end)) {
        ready |= EPOLLIN;
    }
    ready |= peer_closed ? EPOLLRDHUP : 0U;
    ready |= room > 0 ? EPOLLOUT : 0U;
    ready &= which & events;
    if (ready == 0 || sink == nullptr) {
        return false;
    }
    sink->on_io(ready);
    return true;
}

}  // namespace pgsluice::fuzz

namespace pgsluice::proxy {

using fuzz::socket_of;

namespace {

io_result give(fuzz::memory_socket& from, std::span<std::uint8_t> into) {
    PGSLUICE_ASSERT(!into.empty());  // a socket could only answer that with its end
    if (from.to_read.empty()) {
        return {.what = from.peer_closed ? io_result::status::end : io_result::status::again};
    }
    const std::size_t n = std::min({into.size(), from.to_read.size(), from.read_max});
    std::memcpy(into.data(), from.to_read.data(), n);
    return {.bytes = n};
}

}  // namespace

tls_channel::~tls_channel() = default;

stream::stream(reactor& r) noexcept : reactor_(r) {}
stream::~stream() = default;

void stream::adopt(int fd) noexcept {
    fd_ = fd;
}

io_result stream::recv(std::span<std::uint8_t> into) noexcept {
    fuzz::memory_socket& from = socket_of(fd_);
    const io_result r = give(from, into);
    from.just_read.append(from.to_read, 0, r.bytes);
    from.to_read.erase(0, r.bytes);
    from.saw_end = from.saw_end || r.over();
    return r;
}

io_result stream::peek(std::span<std::uint8_t> into) noexcept {
    return give(socket_of(fd_), into);
}

io_result stream::send(byte_view bytes) noexcept {
    fuzz::memory_socket& to = socket_of(fd_);
    PGSLUICE_ASSERT(!to.was_shut);
    const std::size_t n = std::min(bytes.size(), to.room);
    if (n == 0 && !bytes.empty()) {
        return {.what = io_result::status::again};
    }
    to.sent.append(reinterpret_cast<const char*>(bytes.data()), n);
    to.room -= to.room == fuzz::memory_socket::unlimited ? 0 : n;
    return {.bytes = n};
}

void stream::shutdown_send() noexcept {
    socket_of(fd_).was_shut = true;
}

void stream::watch(std::uint32_t events, io_sink* sink) {
    socket_of(fd_).events = events;
    socket_of(fd_).sink = sink;
}

void stream::unwatch() noexcept {
    socket_of(fd_).events = 0;
    socket_of(fd_).sink = nullptr;
}

}  // namespace pgsluice::proxy
