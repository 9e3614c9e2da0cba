// The loop of one worker.
//
//   epoll_wait -> for each event: sink->on_io()    pumps do their whole work here
//              -> waits made ready meanwhile       cold paths continue here
//              -> after_batch                      the worker publishes what changed
//
// Level-triggered epoll needs one recv per readiness; Asio 1.81 makes two (the first or the last
// finds nothing) or one and an epoll_ctl. That call is what this file exists to save.

#include "proxy/net/reactor.hpp"

#include "protocol/errors.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

namespace pgsluice::proxy {

namespace {

void add_internal(int epoll, int fd, void* tag) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = tag;
    PGSLUICE_ASSERT(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
}

void drain_counter(int fd) noexcept {
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t n = read(fd, &count, sizeof count);
}

}  // namespace

static_assert(boost::asio::execution::is_executor_v<reactor::executor_type>);

reactor::reactor()
    : epoll_(epoll_create1(EPOLL_CLOEXEC)),
      timer_(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)),
      wakeup_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    PGSLUICE_ASSERT(epoll_ >= 0 && timer_ >= 0 && wakeup_ >= 0);
    add_internal(epoll_, timer_, &timer_);
    add_internal(epoll_, wakeup_, &wakeup_);
}

reactor::~reactor() {
    // What is dropped may post: the end of a coroutine that never ran.
    for (auto calls = take_posted(); !calls.empty(); calls = take_posted()) {
        calls.clear_and_dispose(std::default_delete<posted_call>());
    }
    shutdown();
    destroy();
    close(wakeup_);
    close(timer_);
    close(epoll_);
}

void reactor::run(const std::function<void()>& after_batch) {
    std::array<epoll_event, batch_max> events{};
    const reactor* const outer = std::exchange(running_, this);
    run_ready();
    while (!stopping_) {
        const int n = epoll_wait(epoll_, events.data(), batch_max, wait_ms_);
        if (n < 0) {
            PGSLUICE_ASSERT(errno == EINTR);
            continue;
        }
        batch_ = std::span(events).first(static_cast<std::size_t>(n));
        while (!batch_.empty()) {
            epoll_event& event = batch_.front();
            batch_ = batch_.subspan(1);
            prefetch_next();
            dispatch(event);
        }
        if (wait_ms_ == 0) [[unlikely]] {
            deliver_kicks();
        }
        do {
            run_ready();
            after_batch();  // may make further coroutines ready: they must not wait for an event
        } while (!ready_.empty());
    }
    running_ = outer;
}

/// What the kernel did since this session's last turn has pushed it out of the near caches; here
/// is the time of a send and a recv to bring back the next one and, one further, what points to it.
void reactor::prefetch_next() const noexcept {
    if (batch_.size() > 1) {
        __builtin_prefetch(batch_[1].data.ptr);
    }
    if (batch_.empty()) {
        return;
    }
    const void* const next = batch_.front().data.ptr;
    if (next != nullptr && next != &timer_ && next != &wakeup_) {
        __builtin_prefetch(static_cast<const io_watch*>(next)->sink_);
    }
}

void reactor::dispatch(epoll_event& event) {
    if (event.data.ptr == &timer_) {
        drain_counter(timer_);
        fire_deadlines();
    } else if (event.data.ptr == &wakeup_) {
        drain_counter(wakeup_);
        run_posted();
    } else if (event.data.ptr != nullptr) {
        auto& watch = *static_cast<io_watch*>(event.data.ptr);
        if (watch.sink_ != nullptr) [[likely]] {
            watch.sink_->on_io(event.events);
        } else {
            remove(watch);
        }
    }
}

void reactor::kick(io_watch& w) {
    if (std::find(kicked_.begin(), kicked_.end(), &w) == kicked_.end()) {
        kicked_.push_back(&w);
        wait_ms_ = 0;
    }
}

/// Those kicked by now; whoever is kicked meanwhile has its turn after the next batch.
void reactor::deliver_kicks() {
    const std::size_t count = kicked_.size();
    for (std::size_t i = 0; i < count; ++i) {
        io_watch* const w = std::exchange(kicked_[i], nullptr);
        if (w != nullptr && w->sink_ != nullptr && (w->events_ & EPOLLIN) != 0) {
            w->sink_->on_io(EPOLLIN);
        }
    }
    kicked_.erase(kicked_.begin(), kicked_.begin() + static_cast<std::ptrdiff_t>(count));
    wait_ms_ = kicked_.empty() ? -1 : 0;
}

/// Events of the present batch that were not delivered yet.
void reactor::forget_pending(const io_watch& w) noexcept {
    for (epoll_event& event : batch_) {
        if (event.data.ptr == &w) {
            event.data.ptr = nullptr;
        }
    }
}

void reactor::stop() {
    const auto executor = get_executor().require(boost::asio::execution::blocking.never);
    executor.execute([this] { stopping_ = true; });
}

void reactor::enqueue(std::unique_ptr<posted_call> call) {
    bool is_first = false;
    {
        const std::lock_guard lock(posted_mutex_);
        is_first = posted_.empty();
        posted_.push_back(*call.release());
    }
    if (is_first) {
        const std::uint64_t one = 1;
        [[maybe_unused]] const ssize_t n = write(wakeup_, &one, sizeof one);
    }
}

reactor::queue_of<posted_call> reactor::take_posted() noexcept {
    queue_of<posted_call> calls;
    const std::lock_guard lock(posted_mutex_);
    calls.swap(posted_);
    return calls;
}

/// What these post runs after the next batch.
void reactor::run_posted() {
    queue_of<posted_call> calls = take_posted();
    while (!calls.empty()) {
        const std::unique_ptr<posted_call> call(&calls.front());
        calls.pop_front();
        call->run();
    }
}

/// Bounded: what becomes ready while these run has been made so by them and runs in this same turn;
/// two coroutines that wake each other for ever would be a bug of ours.
void reactor::run_ready() {
    while (!ready_.empty()) {
        loop_operation& next = ready_.front();
        ready_.pop_front();
        next.complete();
    }
}

void reactor::make_ready(loop_operation& operation) noexcept {
    ready_.push_back(operation);
}

void reactor::add(io_watch& w, int fd, std::uint32_t events, io_sink* sink) {
    PGSLUICE_ASSERT(w.fd_ < 0);
    epoll_event event{};
    event.events = events;
    event.data.ptr = &w;
    PGSLUICE_ASSERT(epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0);
    w.fd_ = fd;
    w.events_ = events;
    w.sink_ = sink;
}

void reactor::set(io_watch& w, std::uint32_t events) {
    if (w.events_ == events) {
        return;
    }
    epoll_event event{};
    event.events = events;
    event.data.ptr = &w;
    PGSLUICE_ASSERT(epoll_ctl(epoll_, EPOLL_CTL_MOD, w.fd_, &event) == 0);
    w.events_ = events;
}

void reactor::set(io_watch& w, std::uint32_t events, io_sink* sink) {
    if (w.sink_ != sink) {
        forget_pending(w);
        w.sink_ = sink;
    }
    set(w, events);
}

void reactor::remove(io_watch& w) noexcept {
    if (w.fd_ < 0) {
        return;
    }
    epoll_ctl(epoll_, EPOLL_CTL_DEL, w.fd_, nullptr);
    forget_pending(w);
    std::replace(kicked_.begin(), kicked_.end(), &w, static_cast<io_watch*>(nullptr));
    w.fd_ = -1;
    w.sink_ = nullptr;
    w.events_ = 0;
}

void reactor::rest(io_watch& w) noexcept {
    forget_pending(w);
    w.sink_ = nullptr;
}

void reactor::arm(loop_operation& operation) {
    deadlines_.insert(operation);
    if (operation.deadline_ < armed_) {
        set_timer();
    }
}

void reactor::disarm(loop_operation& operation) noexcept {
    deadlines_.erase(deadlines_.iterator_to(operation));
    // The timer stays armed: one early wake-up is cheaper than a timerfd_settime for every wait.
}

void reactor::set_timer() {
    armed_ = deadlines_.empty() ? never : deadlines_.begin()->deadline_;
    itimerspec spec{};
    if (armed_ != never) {
        const auto since_boot = armed_.time_since_epoch();
        const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since_boot);
        spec.it_value.tv_sec = seconds.count();
        spec.it_value.tv_nsec =
            std::chrono::duration_cast<std::chrono::nanoseconds>(since_boot - seconds).count();
        if (spec.it_value.tv_sec == 0 && spec.it_value.tv_nsec == 0) {
            spec.it_value.tv_nsec = 1;
        }
    }
    timerfd_settime(timer_, TFD_TIMER_ABSTIME, &spec, nullptr);
}

void reactor::fire_deadlines() {
    const steady_time t = now();
    while (!deadlines_.empty() && deadlines_.begin()->deadline_ <= t) {
        deadlines_.begin()->on_deadline();  // disarms itself
    }
    set_timer();
}

}  // namespace pgsluice::proxy
