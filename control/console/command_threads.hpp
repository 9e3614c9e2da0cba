#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace pgsluice::control {

/// Threads for commands that may take long, each started when it is needed first. What is given
/// before start() waits for it.
class command_threads {
public:
    static constexpr std::size_t threads_max = 16;

    command_threads() = default;
    /// stop()s.
    ~command_threads();
    command_threads(const command_threads&) = delete;
    command_threads& operator=(const command_threads&) = delete;

    void start();
    /// Waits for what runs and forgets what waits.
    void stop();

    /// Any thread; does not wait. False when each thread is busy or stop() was called: then the
    /// work is not done.
    bool run(std::function<void()> work);

private:
    void work_off();

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::function<void()>> waiting_;
    std::vector<std::thread> threads_;
    std::size_t busy_ = 0;
    bool is_started_ = false;
    bool is_stopping_ = false;
};

}  // namespace pgsluice::control
