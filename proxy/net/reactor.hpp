#pragma once

#include <boost/asio/execution/blocking.hpp>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/execution/relationship.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/intrusive/set.hpp>
#include <boost/intrusive/slist.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <sys/epoll.h>
#include <type_traits>
#include <utility>
#include <vector>

namespace pgsluice::proxy {

using steady_time = std::chrono::steady_clock::time_point;

/// No deadline.
inline constexpr steady_time never = steady_time::max();

class reactor;

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

/// An operation that waits for the loop: the loop keeps its deadline, and completes it when told
/// that it is ready. Intrusive: neither allocates. Belongs to the loop's thread.
class loop_operation
    : public boost::intrusive::set_base_hook<boost::intrusive::optimize_size<true>>,
      public boost::intrusive::slist_base_hook<> {
public:
    loop_operation(const loop_operation&) = delete;
    loop_operation& operator=(const loop_operation&) = delete;

    bool operator<(const loop_operation& other) const noexcept {
        return deadline_ < other.deadline_;
    }

protected:
    loop_operation() = default;
    ~loop_operation() = default;

    steady_time deadline_ = never;

private:
    friend class reactor;
    virtual void on_deadline() noexcept = 0;
    virtual void complete() = 0;
};

/// A call that waits until the loop's thread makes it. The queue owns it.
class posted_call : public boost::intrusive::slist_base_hook<> {
public:
    posted_call() = default;
    virtual ~posted_call() = default;
    posted_call(const posted_call&) = delete;
    posted_call& operator=(const posted_call&) = delete;
    virtual void run() = 0;
};

/// Runs functions on a loop: Asio's executor. A function may run inside of execute() where
/// `Blocking` is blocking.possibly and the caller is on the loop's thread already. Otherwise the
/// function is queued, behind what the same thread has queued before. `outstanding_work` is never
/// tracked: a loop runs until stop().
template <class Blocking>
class loop_executor {
public:
    using possibly = boost::asio::execution::blocking_t::possibly_t;
    using queued = boost::asio::execution::blocking_t::never_t;

    explicit loop_executor(reactor& loop) noexcept : loop_(&loop) {}

    reactor& query(boost::asio::execution::context_t) const noexcept { return *loop_; }
    static constexpr Blocking query(boost::asio::execution::blocking_t) noexcept { return {}; }
    static constexpr auto query(boost::asio::execution::outstanding_work_t) noexcept {
        return boost::asio::execution::outstanding_work_t::untracked_t();
    }
    static constexpr auto query(boost::asio::execution::relationship_t) noexcept {
        return boost::asio::execution::relationship_t::fork_t();
    }

    loop_executor<possibly> require(possibly) const noexcept {
        return loop_executor<possibly>(*loop_);
    }
    loop_executor<queued> require(queued) const noexcept { return loop_executor<queued>(*loop_); }

    /// Any thread.
    template <class Function>
    void execute(Function&& function) const;

    friend bool operator==(const loop_executor& a, const loop_executor& b) noexcept {
        return a.loop_ == b.loop_;
    }

private:
    reactor* loop_;
};

/// One worker's event loop: epoll for descriptors, one timerfd for all deadlines, an eventfd for
/// calls from other threads. There is no clock call, no allocation and no lock on the way from a
/// ready descriptor to its sink.
///
/// An execution context of Asio's: co_spawn(), post(), dispatch() and defer() take it. All members
/// but get_executor() and stop() belong to the thread that runs run().
class reactor : public boost::asio::execution_context {
public:
    using executor_type = loop_executor<boost::asio::execution::blocking_t::possibly_t>;

    reactor();
    ~reactor();
    reactor(const reactor&) = delete;
    reactor& operator=(const reactor&) = delete;

    /// Runs until stop(). `after_batch` is called after every batch of events.
    void run(const std::function<void()>& after_batch);

    /// Any thread. run() returns after the present batch.
    void stop();

    /// Any thread.
    executor_type get_executor() noexcept { return executor_type(*this); }
    bool runs_in_this_thread() const noexcept { return running_ == this; }

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

    /// Registers `operation` for its deadline, or takes that back.
    void arm(loop_operation& operation);
    void disarm(loop_operation& operation) noexcept;
    /// Completes `operation` after the present batch of events.
    void make_ready(loop_operation& operation) noexcept;

private:
    template <class Blocking>
    friend class loop_executor;
    template <class Node>
    using queue_of = boost::intrusive::slist<
        Node,
        boost::intrusive::cache_last<true>,
        boost::intrusive::constant_time_size<false>>;
    static constexpr int batch_max = 256;

    void enqueue(std::unique_ptr<posted_call> call);
    queue_of<posted_call> take_posted() noexcept;
    void set_timer();
    void fire_deadlines();
    void run_posted();
    void run_ready();
    void prefetch_next() const noexcept;
    void dispatch(epoll_event& event);
    void deliver_kicks();
    void forget_pending(const io_watch& w) noexcept;

    static constinit inline thread_local const reactor* running_ = nullptr;

    int epoll_ = -1;
    int timer_ = -1;
    int wakeup_ = -1;
    bool stopping_ = false;
    std::span<epoll_event> batch_;  ///< events of the present batch that were not delivered yet
    queue_of<loop_operation> ready_;
    std::vector<io_watch*> kicked_;  ///< each at most once
    int wait_ms_ = -1;               ///< for an event; 0 while somebody is kicked
    boost::intrusive::multiset<loop_operation, boost::intrusive::constant_time_size<false>>
        deadlines_;
    steady_time armed_ = never;

    std::mutex posted_mutex_;
    queue_of<posted_call> posted_;
};

template <class Blocking>
template <class Function>
void loop_executor<Blocking>::execute(Function&& function) const {
    using stored = std::decay_t<Function>;
    if constexpr (std::is_same_v<Blocking, possibly>) {
        if (loop_->runs_in_this_thread()) {
            stored call(std::forward<Function>(function));
            call();
            return;
        }
    }
    struct node final : posted_call {
        explicit node(Function&& f) : call(std::forward<Function>(f)) {}
        void run() override { call(); }
        stored call;
    };
    loop_->enqueue(std::make_unique<node>(std::forward<Function>(function)));
}

}  // namespace pgsluice::proxy
