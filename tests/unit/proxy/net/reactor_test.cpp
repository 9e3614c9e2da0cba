// The event loop with real sockets: which sink hears of what, and what epoll is spared; and the
// loop as an execution context of Asio's.
#include "proxy/net/stream.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/defer.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_future.hpp>
#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdexcept>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace pgsluice::proxy {
namespace {

using testing::ElementsAre;

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
    boost::asio::post(loop, [&] { loop.stop(); });
    loop.run([&] { ++batches; });
    EXPECT_LE(batches, 3) << "epoll goes on reporting what nobody wants";
    EXPECT_EQ(sink.heard, 0);
}

/// A loop that runs on a thread of its own.
struct running_loop {
    running_loop() : thread([this] { loop.run([] {}); }) {}
    ~running_loop() {
        loop.stop();
        thread.join();
    }
    reactor loop;
    std::thread thread;
};

TEST(LoopExecutor, SatisfiesAsiosRequirements) {
    namespace execution = boost::asio::execution;
    static_assert(execution::is_executor_v<reactor::executor_type>);
    reactor loop;
    reactor other;
    const auto executor = loop.get_executor();
    EXPECT_EQ(&boost::asio::query(executor, execution::context), &loop);
    EXPECT_EQ(boost::asio::query(executor, execution::blocking), execution::blocking.possibly);
    const auto queued = boost::asio::require(executor, execution::blocking.never);
    EXPECT_EQ(boost::asio::query(queued, execution::blocking), execution::blocking.never);
    EXPECT_EQ(boost::asio::require(queued, execution::blocking.possibly), executor);
    EXPECT_NE(executor, other.get_executor());
    const boost::asio::any_io_executor any = executor;
    EXPECT_EQ(&boost::asio::query(any, execution::context), &loop);
}

TEST(LoopExecutor, KeepsTheOrderOfEachThreadsCalls) {
    constexpr std::size_t threads = 3;
    constexpr int calls = 1000;
    reactor loop;
    std::array<std::vector<int>, threads> made;
    std::vector<std::thread> callers;
    for (auto& mine : made)
        callers.emplace_back([&loop, &mine] {
            for (int i = 0; i < calls; ++i)
                boost::asio::post(loop, [&mine, i] { mine.push_back(i); });
        });
    std::thread last([&] {
        for (auto& caller : callers)
            caller.join();
        loop.stop();
    });
    loop.run([] {});
    last.join();
    for (const auto& mine : made) {
        EXPECT_EQ(mine.size(), std::size_t{calls});
        EXPECT_TRUE(std::is_sorted(mine.begin(), mine.end()));
    }
}

TEST(LoopExecutor, OnlyDispatchRunsACallAtOnceAndOnlyOnTheLoop) {
    reactor loop;
    std::vector<std::string> made;
    const auto note = [&made](const char* what) {
        return [&made, what] {
            made.emplace_back(what);
        };
    };
    boost::asio::dispatch(loop, [&] {
        boost::asio::post(loop, note("post"));
        boost::asio::defer(loop, note("defer"));
        boost::asio::dispatch(loop, note("dispatch"));
        made.emplace_back("end");
        loop.stop();
    });
    EXPECT_TRUE(made.empty()) << "a call ran outside of the loop";
    loop.run([] {});
    EXPECT_THAT(made, ElementsAre("dispatch", "end", "post", "defer"));
}

TEST(LoopExecutor, TakesACallThatCanOnlyBeMoved) {
    reactor loop;
    int got = 0;
    boost::asio::post(loop, [&, value = std::make_unique<int>(7)] { got = *value; });
    loop.stop();
    loop.run([] {});
    EXPECT_EQ(got, 7);
}

TEST(LoopExecutor, ACallThatQueuesItselfStarvesNoDescriptor) {
    reactor loop;
    pair_of_sockets sockets;
    stream end(loop);
    end.adopt(sockets.ends[0]);
    counting_sink sink(end);
    end.watch(EPOLLIN, &sink);
    struct again {
        void operator()() const {
            if (++*turns == 3)
                sockets->say('a');
            boost::asio::post(*loop, *this);
        }
        reactor* loop;
        pair_of_sockets* sockets;
        int* turns;
    };
    int turns = 0;
    boost::asio::post(loop, again{&loop, &sockets, &turns});
    loop.run([] {});
    EXPECT_EQ(sink.heard, 1);
}

TEST(LoopExecutor, DropsCallsThatCannotRunAnyMore) {
    struct posts_when_dropped {
        posts_when_dropped(reactor* l, std::shared_ptr<int> v) : loop(l), value(std::move(v)) {}
        posts_when_dropped(posts_when_dropped&&) = default;
        ~posts_when_dropped() {
            if (value)
                boost::asio::post(*loop, [value = std::move(value)] { ++*value; });
        }
        void operator()() const { ++*value; }
        reactor* loop;
        std::shared_ptr<int> value;
    };
    const auto value = std::make_shared<int>(0);
    {
        reactor loop;
        boost::asio::post(loop, posts_when_dropped(&loop, value));
        EXPECT_EQ(value.use_count(), 2);
    }
    EXPECT_EQ(value.use_count(), 1);
    EXPECT_EQ(*value, 0);
}

task<int> doubled(int n) {
    if (n < 0)
        throw std::invalid_argument("negative");
    co_return n * 2;
}

task<int> doubled_after_a_wait(reactor& loop, int n) {
    wait_point point(loop);
    co_await point.until(reactor::now() + std::chrono::milliseconds(1));
    const int result = co_await doubled(n);
    co_return result;
}

TEST(LoopCoroutine, TellsItsHandlerWhatItReturned) {
    reactor loop;
    std::vector<int> results;
    boost::asio::post(loop, [&] {
        const auto note = [&](const std::exception_ptr& error, int result) {
            EXPECT_FALSE(error);
            results.push_back(result);
            if (results.size() == 2)
                loop.stop();
        };
        boost::asio::co_spawn(loop, doubled(1), note);
        boost::asio::co_spawn(loop, doubled_after_a_wait(loop, 2), note);
        EXPECT_TRUE(results.empty()) << "a handler ran before co_spawn() returned";
    });
    loop.run([] {});
    EXPECT_THAT(results, ElementsAre(2, 4));
}

TEST(LoopCoroutine, GivesOtherThreadsAFuture) {
    running_loop on_its_thread;
    reactor& loop = on_its_thread.loop;
    auto result =
        boost::asio::co_spawn(loop, doubled_after_a_wait(loop, 21), boost::asio::use_future);
    EXPECT_EQ(result.get(), 42);
}

TEST(LoopCoroutine, ItsExceptionReachesTheHandler) {
    running_loop on_its_thread;
    reactor& loop = on_its_thread.loop;
    auto at_once = boost::asio::co_spawn(loop, doubled(-1), boost::asio::use_future);
    EXPECT_THROW(at_once.get(), std::invalid_argument);
    auto later =
        boost::asio::co_spawn(loop, doubled_after_a_wait(loop, -1), boost::asio::use_future);
    EXPECT_THROW(later.get(), std::invalid_argument);
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
