// The event loop with real sockets: who hears of what, and what epoll is spared.
#include "proxy/net/stream.hpp"

#include <gtest/gtest.h>

#include <array>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace pgsluice::proxy {
namespace {

struct pair_of_sockets {
    pair_of_sockets() { EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0); }
    ~pair_of_sockets() { ::close(ends[1]); }
    void say(char c) const { EXPECT_EQ(write(ends[1], &c, 1), 1); }
    int ends[2] = {-1, -1};
};

struct counting_sink final : io_sink {
    explicit counting_sink(stream& s) : end(s) {}
    void on_io(std::uint32_t) override {
        ++heard;
        std::array<std::uint8_t, 8> read_away{};
        EXPECT_TRUE(end.recv(read_away).done());
        end.loop().stop();
    }
    stream& end;
    int heard = 0;
};

TEST(Reactor, ARestingDescriptorIsHeardAgainWhenSomebodyListens) {
    reactor loop;
    pair_of_sockets sockets;
    stream end(loop);
    end.adopt(sockets.ends[0]);
    counting_sink sink(end);
    end.watch(EPOLLIN, &sink);
    end.rest();
    end.watch(EPOLLIN, &sink);
    sockets.say('a');
    loop.run([] {});
    EXPECT_EQ(sink.heard, 1);
}

TEST(Reactor, WhatComesWhileADescriptorRestsIsHeardLater) {
    reactor loop;
    pair_of_sockets sockets;
    stream end(loop);
    end.adopt(sockets.ends[0]);
    counting_sink sink(end);
    end.watch(EPOLLIN, &sink);
    end.rest();
    sockets.say('a');
    loop.run([&] {
        if (sink.heard == 0)
            end.watch(EPOLLIN, &sink);
    });
    EXPECT_EQ(sink.heard, 1);
}

TEST(Reactor, AHangUpOfARestingDescriptorWakesTheLoopOnce) {
    reactor loop;
    pair_of_sockets sockets;
    stream end(loop);
    end.adopt(sockets.ends[0]);
    counting_sink sink(end);
    end.watch(EPOLLIN, &sink);
    end.rest();
    ::shutdown(sockets.ends[1], SHUT_RDWR);
    int batches = 0;
    loop.post([&] { loop.stop(); });
    loop.run([&] { ++batches; });
    EXPECT_LE(batches, 3) << "epoll goes on reporting what nobody wants";
    EXPECT_EQ(sink.heard, 0);
}

TEST(Stream, WhatAListenerIsTunedToItsConnectionsInherit) {
    const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
    tune_tcp(listener);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const raw = reinterpret_cast<sockaddr*>(&address);
    ASSERT_EQ(::bind(listener, raw, size), 0);
    ASSERT_EQ(::listen(listener, 1), 0);
    ASSERT_EQ(::getsockname(listener, raw, &size), 0);
    const int client = ::socket(AF_INET, SOCK_STREAM, 0);
    ASSERT_EQ(::connect(client, raw, size), 0);
    const int accepted = ::accept(listener, nullptr, nullptr);
    const auto option = [&](int level, int name) {
        int value = -1;
        socklen_t bytes = sizeof value;
        EXPECT_EQ(getsockopt(accepted, level, name, &value, &bytes), 0);
        return value;
    };
    EXPECT_EQ(option(SOL_SOCKET, SO_KEEPALIVE), 1);
    EXPECT_EQ(option(IPPROTO_TCP, TCP_NODELAY), 1);
    EXPECT_EQ(option(IPPROTO_TCP, TCP_KEEPIDLE), 60);
    for (const int fd : {accepted, client, listener})
        ::close(fd);
}

}  // namespace
}  // namespace pgsluice::proxy
