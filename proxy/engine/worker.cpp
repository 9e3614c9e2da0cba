// A worker's thread, and the listeners that its connections come from.

#include "proxy/engine/worker.hpp"

#include "proxy/session/refusal.hpp"
#include "proxy/session/session.hpp"

#include <boost/asio/post.hpp>
#include <spdlog/spdlog.h>

#include <cerrno>
#include <fcntl.h>
#include <string>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace pgsluice::proxy {

namespace {
constexpr int accepts_per_event = 32;
}

listener::listener(worker& w, int fd, std::shared_ptr<const entrance> in)
    : worker_(w), in_(std::move(in)), fd_(fd), reserve_(open("/dev/null", O_RDONLY | O_CLOEXEC)) {
    worker_.loop().add(watch_, fd_, EPOLLIN, this);
}

listener::~listener() {
    worker_.loop().remove(watch_);
    ::close(reserve_);
    ::close(fd_);
}

void listener::on_io(std::uint32_t) {
    for (int n = 0; n < accepts_per_event; ++n) {
        endpoint from;
        from.length = sizeof from.address;
        auto* address = reinterpret_cast<sockaddr*>(&from.address);
        const int client = ::accept4(fd_, address, &from.length, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client >= 0) {
            from.text = address_text(from);
            worker_.at(in_->services.front()).accept(client, from, in_);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE) {
            refuse_one();
            return;
        }
        if (errno != ECONNABORTED && errno != EINTR) {
            return;
        }
    }
}

/// Without a descriptor left the connection would stay in the queue and wake this loop for ever:
/// the reserved one is spent on accepting and closing it.
void listener::refuse_one() {
    spdlog::error("out of file descriptors: a client was refused; raise the open files limit");
    ::close(reserve_);
    const int client = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client >= 0) {
        ::close(client);
    }
    reserve_ = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

worker::worker(std::uint32_t index, cancel_registry& cancels)
    : index_(index), cancels_(cancels), scratch_(scratch_bytes) {}

worker::~worker() {
    join();
}

void worker::add_listener(int fd, std::shared_ptr<const entrance> in) {
    listeners_.push_back(std::make_unique<listener>(*this, fd, std::move(in)));
}

void worker::start() {
    thread_ = std::thread([this] { loop_.run([this] { after_batch(); }); });
    pthread_setname_np(thread_.native_handle(), ("worker-" + std::to_string(index_)).c_str());
}

void worker::shut_down() {
    boost::asio::post(loop_, [this] {
        closing_ = true;
        listeners_.clear();
        for (const auto& s : shards_) {
            const farewell goodbye = refusal::shutting_down(s->settings());
            s->wind_up();
            s->for_each([&](session& each) { each.terminate(goodbye); });
        }
    });
}

void worker::join() {
    if (thread_.joinable()) {
        thread_.join();
    }
}

void worker::after_batch() {
    bool is_empty = true;
    for (const auto& s : shards_) {
        s->after_batch();
        is_empty = is_empty && s->is_empty();
    }
    if (closing_ && is_empty) {
        loop_.stop();
    }
}

}  // namespace pgsluice::proxy
