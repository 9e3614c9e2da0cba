#pragma once

#include "proxy/engine/shard.hpp"
#include "proxy/net/reactor.hpp"
#include "proxy/net/stream.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <thread>
#include <vector>

namespace pgsluice::proxy {

class cancel_registry;
class worker;

/// One listening socket of one worker.
class listener final : public io_sink {
public:
    listener(worker& w, int fd, std::shared_ptr<const entrance> in);
    ~listener();
    listener(const listener&) = delete;
    void on_io(std::uint32_t events) override;

private:
    void refuse_one();

    worker& worker_;
    std::shared_ptr<const entrance> in_;
    int fd_;
    int reserve_;
    io_watch watch_;
};

/// A thread, its loop, and its share of every service. Sessions never leave their worker.
class worker {
public:
    worker(std::uint32_t index, cancel_registry& cancels);
    ~worker();

    std::uint32_t index() const noexcept { return index_; }
    reactor& loop() noexcept { return loop_; }
    worker_share share() noexcept { return {loop_, scratch_, index_, cancels_}; }
    session_id next_session_id() noexcept { return next_id_++ * id_stride + index_; }
    /// The worker that a session id belongs to.
    static std::uint32_t index_of(session_id id) noexcept {
        return static_cast<std::uint32_t>(id % id_stride);
    }

    /// Before start(): takes over listening sockets.
    void add_service(std::unique_ptr<shard> s) { shards_.push_back(std::move(s)); }
    void add_listener(int fd, std::shared_ptr<const entrance> in);

    void start();
    void stop_listening() { listeners_.clear(); }
    /// Any thread. Ends all sessions, then the thread; join() waits for it.
    void shut_down();
    void join();

    shard& at(std::size_t service) { return *shards_[service]; }

    /// The other workers, for cancel requests that arrive here.
    void set_peers(std::span<const std::unique_ptr<worker>> peers) { peers_ = peers; }
    std::uint32_t peer_count() const noexcept { return static_cast<std::uint32_t>(peers_.size()); }
    worker& peer(std::uint32_t index) const { return *peers_[index]; }

private:
    static constexpr std::size_t scratch_bytes = 256 * 1024;
    static constexpr session_id id_stride = 1024;

    void after_batch();

    const std::uint32_t index_;
    cancel_registry& cancels_;
    reactor loop_;
    std::vector<std::uint8_t> scratch_;
    std::vector<std::unique_ptr<shard>> shards_;
    std::vector<std::unique_ptr<listener>> listeners_;
    std::span<const std::unique_ptr<worker>> peers_;
    session_id next_id_ = 1;
    bool closing_ = false;
    std::thread thread_;
};

}  // namespace pgsluice::proxy
