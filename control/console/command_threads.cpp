// Threads that run the console's commands, which block.

#include "control/console/command_threads.hpp"

#include <utility>

namespace pgsluice::control {

command_threads::~command_threads() {
    stop();
}

void command_threads::start() {
    {
        const std::lock_guard lock(mutex_);
        is_started_ = true;
    }
    changed_.notify_all();
}

void command_threads::stop() {
    std::vector<std::thread> threads;
    {
        const std::lock_guard lock(mutex_);
        is_stopping_ = true;
        waiting_.clear();
        threads.swap(threads_);
    }
    changed_.notify_all();
    for (std::thread& each : threads) {
        each.join();
    }
}

bool command_threads::run(std::function<void()> work) {
    const std::lock_guard lock(mutex_);
    if (is_stopping_ || busy_ + waiting_.size() >= threads_max) {
        return false;
    }
    waiting_.push_back(std::move(work));
    if (busy_ + waiting_.size() > threads_.size()) {
        threads_.emplace_back([this] { work_off(); });
    }
    changed_.notify_one();
    return true;
}

void command_threads::work_off() {
    std::unique_lock lock(mutex_);
    const auto is_due = [this] {
        return is_stopping_ || (is_started_ && !waiting_.empty());
    };
    for (;;) {
        changed_.wait(lock, is_due);
        if (is_stopping_) {
            return;
        }
        const std::function<void()> work = std::move(waiting_.front());
        waiting_.pop_front();
        ++busy_;
        lock.unlock();
        work();
        lock.lock();
        --busy_;
    }
}

}  // namespace pgsluice::control
