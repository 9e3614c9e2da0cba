// Waiting as an operation of Asio's: what ends a wait, what takes its result, and what it costs.
#include "proxy/net/task.hpp"
#include "proxy/net/wait_point.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_future.hpp>
#include <gmock/gmock.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <functional>
#include <future>
#include <new>
#include <thread>
#include <vector>

namespace {
std::atomic<std::size_t> allocations = 0;
}

void* operator new(std::size_t size) {
    ++allocations;
    void* block = std::malloc(size == 0 ? 1 : size);
    if (block == nullptr)
        throw std::bad_alloc();
    return block;
}
void operator delete(void* block) noexcept {
    std::free(block);
}
void operator delete(void* block, std::size_t) noexcept {
    std::free(block);
}

namespace pgsluice::proxy {
namespace {

using namespace std::chrono_literals;
using boost::asio::cancellation_type;
using testing::ElementsAre;

/// A loop, a point on it, and what waits there have ended with.
struct WaitPoint : testing::Test {
    /// Runs `work` on the loop, which `work` or what it starts has to stop.
    void run(const std::function<void()>& work) {
        boost::asio::post(loop, work);
        loop.run([] {});
    }

    /// A handler that notes why the wait ended, and stops the loop after so many.
    auto note(std::size_t ends = 1) {
        return [this, ends](wake why) {
            woken.push_back(why);
            if (woken.size() == ends)
                loop.stop();
        };
    }

    reactor loop;
    wait_point point{loop};
    std::vector<wake> woken;
};

TEST_F(WaitPoint, AnEventCompletesTheWaitAfterTheCallThatReportsIt) {
    run([&] {
        point.until(never, note());
        point.notify();
        EXPECT_TRUE(woken.empty());
    });
    EXPECT_THAT(woken, ElementsAre(wake::event));
}

TEST_F(WaitPoint, AnEventIsRememberedForTheNextWait) {
    run([&] {
        point.notify();
        point.notify();
        point.until(never, note());
        EXPECT_TRUE(woken.empty()) << "a handler ran inside of until()";
    });
    EXPECT_THAT(woken, ElementsAre(wake::event));
}

TEST_F(WaitPoint, AForgottenEventCompletesNothing) {
    run([&] {
        point.notify();
        point.forget();
        point.until(reactor::now() + 1ms, note());
    });
    EXPECT_THAT(woken, ElementsAre(wake::deadline));
}

TEST_F(WaitPoint, DeadlinesPassInTheirOrder) {
    constexpr std::array after{3ms, 1ms, 2ms, 1ms};
    std::array<wait_point, after.size()> points{
        wait_point(loop), wait_point(loop), wait_point(loop), wait_point(loop)};
    std::vector<std::size_t> passed;
    const steady_time start = reactor::now();
    run([&] {
        for (std::size_t i = 0; i < after.size(); ++i)
            points[i].until(start + after[i], [&, i](wake why) {
                EXPECT_EQ(why, wake::deadline);
                EXPECT_GE(reactor::now(), start + after[i]);
                passed.push_back(i);
                if (passed.size() == after.size())
                    loop.stop();
            });
    });
    EXPECT_THAT(passed, ElementsAre(1, 3, 2, 0));
}

TEST_F(WaitPoint, AHandlerMayWaitThereAgain) {
    run([&] {
        point.until(never, [&](wake first) {
            woken.push_back(first);
            point.until(reactor::now() + 1ms, note(2));
        });
        point.notify();
    });
    EXPECT_THAT(woken, ElementsAre(wake::event, wake::deadline));
}

TEST_F(WaitPoint, AHandlerOfAnySizeIsTaken) {
    run([&] {
        std::array<char, 256> large{};
        large.back() = 'x';
        point.until(never, [large, end = note()](wake why) {
            EXPECT_EQ(large.back(), 'x');
            end(why);
        });
        point.notify();
    });
    EXPECT_THAT(woken, ElementsAre(wake::event));
}

TEST_F(WaitPoint, AnotherThreadMayWaitByAFuture) {
    std::future<wake> result;
    std::thread other;
    run([&] {
        result = point.until(reactor::now() + 1ms, boost::asio::use_future);
        other = std::thread([&] {
            woken.push_back(result.get());
            loop.stop();
        });
    });
    other.join();
    EXPECT_THAT(woken, ElementsAre(wake::deadline));
}

TEST_F(WaitPoint, AHandlerRunsOnItsOwnExecutor) {
    boost::asio::io_context elsewhere;
    run([&] {
        point.until(never, boost::asio::bind_executor(elsewhere, [&](wake why) {
                        EXPECT_FALSE(loop.runs_in_this_thread());
                        woken.push_back(why);
                    }));
        point.notify();
        loop.stop();
    });
    EXPECT_TRUE(woken.empty());
    elsewhere.run();
    EXPECT_THAT(woken, ElementsAre(wake::event));
}

TEST_F(WaitPoint, CancellationEndsTheWaitAndNotThePoint) {
    boost::asio::cancellation_signal signal;
    run([&] {
        point.until(never, boost::asio::bind_cancellation_slot(signal.slot(), [&](wake why) {
                        woken.push_back(why);
                        signal.emit(cancellation_type::terminal);  // too late for anything
                        point.until(reactor::now() + 1ms, note(2));
                    }));
        signal.emit(cancellation_type::partial);
    });
    EXPECT_THAT(woken, ElementsAre(wake::cancelled, wake::deadline));
}

TEST_F(WaitPoint, CancellationCountsBeforeAnEventThatWasNotTakenYet) {
    boost::asio::cancellation_signal signal;
    run([&] {
        point.until(never, boost::asio::bind_cancellation_slot(signal.slot(), note()));
        point.notify();
        signal.emit(cancellation_type::terminal);
    });
    EXPECT_THAT(woken, ElementsAre(wake::cancelled));
}

/// Waits, and waits again where a cancellation was not the end of it.
task<void> wait_twice(wait_point& point, std::vector<wake>& woken, bool throws) {
    co_await boost::asio::this_coro::throw_if_cancelled(throws);
    const wake first = co_await point.until(never);
    woken.push_back(first);
    const wake second = co_await point.until(reactor::now() + 1ms);
    woken.push_back(second);
}

TEST_F(WaitPoint, ACancelledCoroutineEndsAtItsNextWaitOrByAResult) {
    for (const bool throws : {true, false}) {
        reactor own;
        wait_point there(own);
        boost::asio::cancellation_signal signal;
        woken.clear();
        bool was_thrown = false;
        boost::asio::post(own, [&] {
            boost::asio::co_spawn(
                own,
                wait_twice(there, woken, throws),
                boost::asio::bind_cancellation_slot(
                    signal.slot(),
                    [&](const std::exception_ptr& error) {
                        was_thrown = error != nullptr;
                        own.stop();
                    }
                )
            );
            signal.emit(cancellation_type::terminal);
        });
        own.run([] {});
        EXPECT_EQ(was_thrown, throws);
        EXPECT_EQ(woken.front(), wake::cancelled);
        EXPECT_EQ(woken.size(), throws ? 1U : 2U);
    }
}

task<std::size_t> count_allocations(wait_point& a, wait_point& b, int waits) {
    const std::size_t before = allocations;
    for (int i = 0; i < waits; ++i) {
        a.notify();
        const wake first = co_await a.until(never);
        EXPECT_EQ(first, wake::event);
        const wake second = co_await b.until(reactor::now());
        EXPECT_EQ(second, wake::deadline);
    }
    co_return allocations - before;
}

TEST_F(WaitPoint, ACoroutinesWaitAllocatesNothing) {
    wait_point other(loop);
    std::size_t allocated = 1;
    run([&] {
        boost::asio::co_spawn(
            loop,
            count_allocations(point, other, 100),
            [&](const std::exception_ptr&, std::size_t result) {
                allocated = result;
                loop.stop();
            }
        );
    });
    EXPECT_EQ(allocated, 0U);
}

}  // namespace
}  // namespace pgsluice::proxy
