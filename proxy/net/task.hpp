#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

namespace pgsluice::proxy {

template <class T>
class task;

namespace task_detail {

/// What every task's promise shares: who continues when the task ends, and how.
struct promise_base {
    std::coroutine_handle<> continuation = std::noop_coroutine();
    std::exception_ptr error;

    struct resume_continuation {
        bool await_ready() const noexcept { return false; }
        template <class Promise>
        std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> h) const noexcept {
            return h.promise().continuation;
        }
        void await_resume() const noexcept {}
    };

    std::suspend_always initial_suspend() const noexcept { return {}; }
    resume_continuation final_suspend() const noexcept { return {}; }
    void unhandled_exception() noexcept { error = std::current_exception(); }
};

template <class T>
struct promise : promise_base {
    std::optional<T> value;
    task<T> get_return_object() noexcept;
    void return_value(T v) { value.emplace(std::move(v)); }
    T take() { return std::move(*value); }
};

template <>
struct promise<void> : promise_base {
    task<void> get_return_object() noexcept;
    void return_void() const noexcept {}
    void take() const noexcept {}
};

}  // namespace task_detail

/// A coroutine that starts when it is awaited and continues its awaiter when it ends. The task owns
/// the frame. Everything runs on the one thread of the worker it was started on. Used on cold paths
/// only: handshakes, connecting, holding, moving; never once a message.
template <class T>
class [[nodiscard]] task {
public:
    using promise_type = task_detail::promise<T>;

    explicit task(std::coroutine_handle<promise_type> frame) noexcept : frame_(frame) {}
    task(task&& other) noexcept : frame_(std::exchange(other.frame_, {})) {}
    task& operator=(task&&) = delete;
    ~task() {
        if (frame_) {
            frame_.destroy();
        }
    }

    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiter) const noexcept {
        frame_.promise().continuation = awaiter;
        return frame_;
    }
    T await_resume() const {
        if (frame_.promise().error) {
            std::rethrow_exception(frame_.promise().error);
        }
        return frame_.promise().take();
    }

private:
    std::coroutine_handle<promise_type> frame_;
};

template <class T>
task<T> task_detail::promise<T>::get_return_object() noexcept {
    return task<T>(std::coroutine_handle<promise>::from_promise(*this));
}

inline task<void> task_detail::promise<void>::get_return_object() noexcept {
    return task<void>(std::coroutine_handle<promise>::from_promise(*this));
}

/// A task nobody awaits. `on_end` is told of an exception (nullptr when there was none) and must
/// not throw; it is the last thing that runs before the frame is gone.
struct root_task {
    struct promise_type {
        root_task get_return_object() const noexcept { return {}; }
        std::suspend_never initial_suspend() const noexcept { return {}; }
        std::suspend_never final_suspend() const noexcept { return {}; }
        void return_void() const noexcept {}
        [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }
    };
};

template <class OnEnd>
root_task spawn(task<void> work, OnEnd on_end) {
    std::exception_ptr error;
    try {
        co_await work;
    } catch (...) {
        error = std::current_exception();
    }
    on_end(error);
}

}  // namespace pgsluice::proxy
