#pragma once

#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <set>
#include <span>
#include <sys/epoll.h>
#include <utility>
#include <vector>

namespace pgsluice::proxy {

using steady_time = std::chrono::steady_clock::time_point;

/// No deadline.
inline constexpr steady_time never = steady_time::max();

/// Whoever wants to hear that a descriptor is ready.
class io_sink {
public:
    /// `events` as epoll_wait(2) gives them. Level-triggered: what is not dealt with comes again.
    virtual void on_io(std::uint32_t events) = 0;

protected:
    ~io_sink() = default;
};

/// One registered descriptor and what it waits for. epoll is told only of changes.
class io_watch {
public:
    io_watch() = default;
    io_watch(const io_watch&) = delete;
    io_watch& operator=(const io_watch&) = delete;

    bool is_registered() const noexcept { return fd_ >= 0; }
    std::uint32_t events() const noexcept { return events_; }

private:
    friend class reactor;
    io_sink* sink_ = nullptr;
    int fd_ = -1;
    std::uint32_t events_ = 0;
};

/// Why a wait_point was woken.
enum class wake : std::uint8_t { event, deadline, cancelled };

class reactor;

/// Where one coroutine waits: for an event somebody else tells it of, for at most so long. At most
/// one coroutine waits at a point at a time. A wake that comes while nobody waits is remembered, so
/// that it cannot be lost between looking and waiting.
class wait_point {
public:
    explicit wait_point(reactor& r) noexcept : reactor_(r) {}
    ~wait_point();
    wait_point(const wait_point&) = delete;
    wait_point& operator=(const wait_point&) = delete;

    /// Continues the waiter after the present batch of events, or makes the next wait return at
    /// once.
    void notify(wake why = wake::event) noexcept;

    /// From now on every wait returns `cancelled` at once.
    void cancel() noexcept;
    bool cancelled() const noexcept { return cancelled_; }

    /// Forgets a wake that came while nobody waited.
    void forget() noexcept { pending_ = false; }

    struct awaiter {
        wait_point& point;
        steady_time deadline;
        bool await_ready() const noexcept { return point.pending_ || point.cancelled_; }
        void await_suspend(std::coroutine_handle<> h) noexcept { point.suspend(h, deadline); }
        wake await_resume() const noexcept { return point.take(); }
    };

    /// co_await point.until(deadline)
    awaiter until(steady_time deadline) noexcept { return {*this, deadline}; }

private:
    friend class reactor;
    void suspend(std::coroutine_handle<> h, steady_time deadline) noexcept;
    wake take() noexcept;

    reactor& reactor_;
    std::coroutine_handle<> waiter_;
    steady_time deadline_ = never;
    wake why_ = wake::event;
    bool pending_ = false;
    bool cancelled_ = false;
};

/// One worker's event loop: epoll for descriptors, one timerfd for all deadlines, an eventfd for
/// calls from other threads. There is no clock call, no allocation and no lock on the way from a
/// ready descriptor to its sink.
///
/// All members but post() and stop() belong to the thread that runs run().
class reactor {
public:
    reactor();
    ~reactor();
    reactor(const reactor&) = delete;
    reactor& operator=(const reactor&) = delete;

    /// Runs until stop(). `after_batch` is called after every batch of events.
    void run(const std::function<void()>& after_batch);

    /// Any thread. run() returns after the present batch.
    void stop() noexcept;

    /// Any thread. `call` runs on the loop's thread; calls of one thread keep their order.
    void post(std::function<void()> call);

    /// `w` must stay where it is until remove(). After remove() or a change of sink no event of the
    /// old registration is delivered any more, not even one of the present batch.
    void add(io_watch& w, int fd, std::uint32_t events, io_sink* sink);
    void set(io_watch& w, std::uint32_t events);
    void set(io_watch& w, std::uint32_t events, io_sink* sink);
    void remove(io_watch& w) noexcept;
    /// Nobody listens for now. epoll is only told when an event comes all the same; whoever listens
    /// again before then has saved two system calls. Afterwards `w` may be registered or not.
    void rest(io_watch& w) noexcept;

    /// There is something to read that epoll does not know of: `w`'s sink hears EPOLLIN after the
    /// present batch, if it is listening for that by then.
    void kick(io_watch& w);

    /// Now, as of a vDSO call; for cold paths and stamps.
    static steady_time now() noexcept { return std::chrono::steady_clock::now(); }

private:
    friend class wait_point;
    static constexpr int batch_max = 256;

    void ready(std::coroutine_handle<> h);
    void arm(wait_point& p);
    void disarm(wait_point& p) noexcept;
    void set_timer();
    void fire_deadlines();
    void run_posted();
    void run_ready();
    void prefetch_next() const noexcept;
    void dispatch(epoll_event& event);
    void deliver_kicks();
    void forget_pending(const io_watch& w) noexcept;

    int epoll_ = -1;
    int timer_ = -1;
    int wakeup_ = -1;
    bool stopping_ = false;
    std::span<epoll_event> batch_;  ///< events of the present batch that were not delivered yet
    std::vector<std::coroutine_handle<>> ready_;
    std::vector<io_watch*> kicked_;  ///< each at most once
    int wait_ms_ = -1;               ///< for an event; 0 while somebody is kicked
    std::set<std::pair<steady_time, wait_point*>> deadlines_;
    steady_time armed_ = never;

    std::mutex posted_mutex_;
    std::vector<std::function<void()>> posted_;
};

}  // namespace pgsluice::proxy
