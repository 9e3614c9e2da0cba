// What a switch leaves behind on the old server: what it still has to tell, and the connections.

#include "proxy/engine/shard.hpp"
#include "proxy/engine/worker.hpp"
#include "proxy/session/session.hpp"

#include <boost/asio/co_spawn.hpp>
#include <spdlog/spdlog.h>

#include <array>
#include <exception>
#include <utility>

namespace pgsluice::proxy {

namespace {

constexpr milliseconds ask_interval{1};    // between two questions to the old server
constexpr milliseconds drop_delay{1'000};  // after a switch, for everybody's first statement
constexpr milliseconds drop_interval{10};  // between two old connections that are closed

}  // namespace

void log_task_end(const std::exception_ptr& error) {
    if (!error) {
        return;
    }
    try {
        std::rethrow_exception(error);
    } catch (const std::exception& e) {
        spdlog::error("session failed why=\"{}\"", e.what());
    }
}

/// Each old backend reads its configuration again before it answers, because of the fence, and all
/// at once that would slow everybody's start: so one after the other, who has a client waiting
/// first.
session* shard::next_to_ask() const {
    session* next = nullptr;
    for (const auto& [id, s] : sessions_) {
        if (s->waits_to_ask() && (next == nullptr || (s->waits() && !next->waits()))) {
            next = s;
        }
    }
    return next;
}

void shard::begin_asking() {
    if (asking_ || next_to_ask() == nullptr) {
        return;
    }
    asking_ = true;
    boost::asio::co_spawn(worker_.loop(), ask_old_server(), [this](std::exception_ptr error) {
        asking_ = false;
        log_task_end(error);
    });
}

task<void> shard::ask_old_server() {
    wait_point pace(worker_.loop());
    for (session* next = next_to_ask(); next != nullptr; next = next_to_ask()) {
        next->ask_old_server();
        co_await pace.until(reactor::now() + ask_interval);
    }
}

void shard::retire(std::unique_ptr<leg> left) {
    left->io.unwatch();
    retired_.push_back(std::move(left));
}

task<void> shard::drop_retired() {
    static constexpr std::array<std::uint8_t, 5> terminate{'X', 0, 0, 0, 4};
    wait_point pace(worker_.loop());
    co_await pace.until(reactor::now() + drop_delay);
    while (!retired_.empty()) {
        co_await pace.until(reactor::now() + drop_interval);
        if (!retired_.empty()) {
            [[maybe_unused]] const io_result sent = retired_.back()->io.send(terminate);
            retired_.pop_back();
        }
    }
}

}  // namespace pgsluice::proxy
