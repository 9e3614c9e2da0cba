#pragma once

#include "proxy/net/stream.hpp"

#include <cstdint>
#include <limits>
#include <string>

// Sockets without a kernel: memory_socket.cpp defines what a pump calls of proxy::stream over them,
// in place of proxy/net/stream.cpp. A fuzz target decides what is there to read, in which pieces,
// and how much is taken of what is sent.

namespace pgsluice::fuzz {

struct memory_socket {
    static constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

    std::string to_read;               ///< the peer has sent it, and it was not read yet
    std::size_t read_max = unlimited;  ///< no recv gives more at once
    bool peer_closed = false;          ///< nothing comes behind `to_read`
    std::string just_read;             ///< by recv, since somebody emptied this
    bool saw_end = false;              ///< recv said so
    std::string sent;                  ///< what the peer has got
    std::size_t room = unlimited;      ///< what is taken before send says `again`
    bool was_shut = false;             ///< the peer was told that no more will come
    std::uint32_t events = 0;          ///< that are waited for
    proxy::io_sink* sink = nullptr;

    bool is_watched_for(std::uint32_t what) const noexcept { return (events & what) != 0; }

    /// Delivers what epoll would of `which`, level-triggered; true if there was something.
    bool deliver(std::uint32_t which);
};

/// Where streams that adopt() `fd` read and write. At most `memory_sockets_max` of them; they are
/// new after forget_sockets().
inline constexpr int memory_sockets_max = 64;
memory_socket& socket_of(int fd);
void forget_sockets();

}  // namespace pgsluice::fuzz
