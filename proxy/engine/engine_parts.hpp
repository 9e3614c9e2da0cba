#pragma once

// What an engine consists of. Only the engine's own sources include this.

#include "proxy/engine/engine.hpp"
#include "proxy/engine/worker.hpp"
#include "proxy/session/cancel_registry.hpp"
#include "proxy/session/service_shared.hpp"

#include <boost/asio/post.hpp>

#include <cstddef>
#include <deque>
#include <functional>
#include <latch>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace pgsluice::proxy {

struct engine::parts {
    cancel_registry cancels;
    std::deque<service_shared> services;
    std::vector<route> routes;
    std::vector<bool> gates;
    std::vector<std::shared_ptr<const admission>> admitted;
    mutable std::mutex routes_mutex;
    std::vector<std::unique_ptr<worker>> workers;
    std::vector<std::string> socket_files;
    bool running = false;

    /// Runs `call` on every worker's thread and returns when all have.
    void on_all(const std::function<void(worker&)>& call) {
        std::latch done(static_cast<std::ptrdiff_t>(workers.size()));
        for (const auto& w : workers) {
            boost::asio::post(w->loop(), [&call, &done, each = w.get()] {
                call(*each);
                done.count_down();
            });
        }
        done.wait();
    }

    void on_all(service_id id, const std::function<void(shard&)>& call) {
        on_all([&](worker& w) { call(w.at(id)); });
    }

    result<void> bind(const std::vector<service_start>& starts);
};

}  // namespace pgsluice::proxy
