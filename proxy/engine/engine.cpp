// Start and stop of workers and listeners, and calls that run on every worker.

#include "proxy/engine/engine.hpp"

#include "proxy/engine/engine_parts.hpp"
#include "proxy/engine/worker.hpp"
#include "proxy/net/stream.hpp"
#include "proxy/session/session.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace pgsluice::proxy {

namespace {

constexpr int listen_backlog = 4096;

failure cannot_listen(const endpoint& at, const char* what) {
    return {"08001", "cannot listen on " + at.text + ": " + what, {}, {}};
}

/// Removes the file of a socket that nobody listens on any more.
void remove_stale(const endpoint& at) {
    const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const auto* address = reinterpret_cast<const sockaddr*>(&at.address);
    if (::connect(probe, address, at.length) != 0 && errno == ECONNREFUSED) {
        ::unlink(reinterpret_cast<const sockaddr_un*>(&at.address)->sun_path);
    }
    ::close(probe);
}

result<int> open_listener(const endpoint& at) {
    const int family = at.address.ss_family;
    const int fd = ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return cannot_listen(at, std::strerror(errno));
    }
    const int on = 1;
    if (family == AF_UNIX) {
        remove_stale(at);
    } else {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
        tune_tcp(fd);  // what is accepted inherits it
    }
    if (family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    }
    const auto* address = reinterpret_cast<const sockaddr*>(&at.address);
    if (::bind(fd, address, at.length) != 0 || ::listen(fd, listen_backlog) != 0) {
        const int error = errno;
        ::close(fd);
        return cannot_listen(at, std::strerror(error));
    }
    if (family == AF_UNIX) {
        ::chmod(reinterpret_cast<const sockaddr_un*>(&at.address)->sun_path, 0777);
    }
    return fd;
}

/// SO_REUSEPORT lets a second daemon bind the same port and take half of its clients. Binding once
/// without it shows whether somebody else is there.
result<void> check_free(const endpoint& at) {
    if (at.address.ss_family == AF_UNIX) {
        return {};
    }
    const int fd = ::socket(at.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (at.address.ss_family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    }
    const int bound = ::bind(fd, reinterpret_cast<const sockaddr*>(&at.address), at.length);
    const int error = errno;
    ::close(fd);
    if (bound != 0) {
        return cannot_listen(at, std::strerror(error));
    }
    return {};
}

/// Each address once, with the services that are reached there.
std::vector<std::pair<endpoint, entrance>>
entrances(const std::vector<engine::service_start>& starts) {
    std::vector<std::pair<endpoint, entrance>> all;
    for (std::size_t id = 0; id < starts.size(); ++id) {
        for (const auto& [at, balancers] : starts[id].settings->listen) {
            auto found = std::find_if(all.begin(), all.end(), [&at = at](const auto& each) {
                return each.first.text == at.text;
            });
            if (found == all.end()) {
                all.push_back({at, {balancers, {}}});
                found = all.end() - 1;
            }
            found->second.services.push_back(id);
        }
    }
    return all;
}

}  // namespace

result<void> engine::parts::bind(const std::vector<service_start>& starts) {
    for (const auto& [at, in] : entrances(starts)) {
        if (const auto is_free = check_free(at); !is_free) {
            return is_free.error();
        }
        const auto door = std::make_shared<const entrance>(in);
        const bool local = at.address.ss_family == AF_UNIX;
        int shared = -1;
        for (const auto& w : workers) {
            if (local && shared >= 0) {
                w->add_listener(::dup(shared), door);
                continue;
            }
            const auto fd = open_listener(at);
            if (!fd) {
                return fd.error();
            }
            shared = *fd;
            if (local) {
                socket_files.push_back(at.text);
            }
            w->add_listener(*fd, door);
        }
    }
    return {};
}

engine::engine() : parts_(std::make_unique<parts>()) {}

engine::~engine() {
    stop();
}

result<void> engine::start(std::uint32_t workers, std::vector<service_start> services) {
    PGSLUICE_ASSERT(!parts_->running && workers > 0);
    for (std::uint32_t i = 0; i < workers; ++i) {
        parts_->workers.push_back(std::make_unique<worker>(i, parts_->cancels));
    }
    for (std::size_t id = 0; id < services.size(); ++id) {
        const service_start& s = services[id];
        parts_->services.emplace_back(id, workers);
        parts_->routes.push_back(s.at);
        parts_->gates.push_back(s.gate_open);
        parts_->admitted.push_back(std::make_shared<const admission>(s.admitted));
        const shard::gate_start gate{
            s.gate_open, s.access, s.takes_clients, parts_->admitted.back(), s.canary};
        for (const auto& w : parts_->workers) {
            w->set_peers(parts_->workers);
            w->add_service(
                std::make_unique<shard>(*w, parts_->services.back(), s.settings, s.at, gate)
            );
        }
    }
    if (auto bound = parts_->bind(services); !bound) {
        parts_->workers.clear();
        parts_->services.clear();
        parts_->routes.clear();
        parts_->gates.clear();
        parts_->admitted.clear();
        return bound;
    }
    for (const auto& w : parts_->workers) {
        w->start();
    }
    parts_->running = true;
    return {};
}

void engine::stop() {
    if (!parts_->running) {
        return;
    }
    parts_->running = false;
    for (const auto& w : parts_->workers) {
        w->shut_down();
    }
    for (const auto& w : parts_->workers) {
        w->join();
    }
    for (const std::string& file : parts_->socket_files) {
        ::unlink(file.c_str());
    }
}

void engine::apply(service_id service, std::shared_ptr<const service_settings> settings) {
    parts_->on_all(service, [&](shard& s) { s.apply(settings); });
}

void engine::close_gate(service_id service) {
    {
        const std::lock_guard lock(parts_->routes_mutex);
        parts_->gates[service] = false;
    }
    parts_->on_all(service, [](shard& s) {
        s.close_gate();
        s.publish_now();
    });
}

void engine::hold_long(service_id service, milliseconds threshold) {
    parts_->on_all(service, [threshold](shard& s) {
        s.hold_long(threshold);
        s.publish_now();
    });
}

void engine::open_gate(service_id service) {
    {
        const std::lock_guard lock(parts_->routes_mutex);
        parts_->gates[service] = true;
    }
    parts_->on_all(service, [](shard& s) { s.open_gate(); });
}

bool engine::gate_open(service_id service) const {
    const std::lock_guard lock(parts_->routes_mutex);
    return parts_->gates[service];
}

void engine::admit(service_id service, admission who) {
    const auto shared = std::make_shared<const admission>(std::move(who));
    {
        const std::lock_guard lock(parts_->routes_mutex);
        parts_->admitted[service] = shared;
    }
    parts_->on_all(service, [&](shard& s) { s.admit(shared); });
}

void engine::force_access(service_id service, forced_access to) {
    parts_->on_all(service, [to](shard& s) {
        s.force_access(to);
        s.publish_now();
    });
}

admission engine::admitted(service_id service) const {
    const std::lock_guard lock(parts_->routes_mutex);
    return *parts_->admitted[service];
}

service_progress engine::progress(service_id service) const {
    parts_->on_all(service, [](shard& s) { s.publish_now(); });
    return parts_->services[service].progress();
}

std::vector<session_info> engine::sessions(service_id service) {
    std::mutex mutex;
    std::vector<session_info> rows;
    parts_->on_all(service, [&](shard& s) {
        const std::lock_guard lock(mutex);
        s.for_each([&](session& each) {
            if (!each.is_console()) {
                rows.push_back(each.info());
            }
        });
    });
    return rows;
}

service_stats engine::stats(service_id service) const {
    return parts_->services[service].stats();
}

route engine::current_route(service_id service) const {
    const std::lock_guard lock(parts_->routes_mutex);
    return parts_->routes[service];
}

std::uint32_t engine::workers() const {
    return static_cast<std::uint32_t>(parts_->workers.size());
}

bool engine::wait(
    service_id service,
    const std::function<bool(const service_progress&)>& done,
    clock::time_point deadline
) {
    return parts_->services[service].wait(done, deadline);
}

void engine::interrupt(service_id service) {
    parts_->services[service].interrupt();
}

void engine::count_stalls_anew(service_id service) {
    parts_->on_all(service, [](shard& s) { s.count_stalls_anew(); });
}

stall_histogram engine::stalls(service_id service) const {
    std::mutex mutex;
    stall_histogram sum;
    parts_->on_all(service, [&](shard& s) {
        const std::lock_guard lock(mutex);
        sum.add(s.stalls());
    });
    return sum;
}

void engine::read_load(service_id service, bool on) {
    parts_->on_all(service, [on](shard& s) { s.read_load(on); });
}

service_load engine::load(service_id service) const {
    std::mutex mutex;
    service_load sum;
    parts_->on_all(service, [&](shard& s) {
        const std::lock_guard lock(mutex);
        if (const service_load* const share = s.load()) {
            sum.add(*share);
        }
    });
    return sum;
}

void engine::order_move(service_id service, move_order order) {
    parts_->on_all(service, [&](shard& s) {
        s.give_order(order);
        s.publish_now();
    });
}

void engine::cancel_move(service_id service) {
    parts_->on_all(service, [](shard& s) { s.end_order(); });
}

std::size_t engine::refresh_move(service_id service) {
    std::atomic<std::size_t> behind{0};
    parts_->on_all(service, [&](shard& s) {
        behind += s.refresh();
        s.publish_now();
    });
    return behind;
}

void engine::hear_out(service_id service) {
    parts_->on_all(service, [](shard& s) { s.hear_out(); });
}

void engine::mark_promoted(service_id service) {
    parts_->on_all(service, [](shard& s) { s.mark_promoted(); });
}

void engine::commit_move(service_id service, route to, const farewell& to_left_behind) {
    {
        const std::lock_guard lock(parts_->routes_mutex);
        parts_->routes[service] = to;
    }
    parts_->on_all(service, [&](shard& s) {
        s.commit(to, to_left_behind);
        s.publish_now();
    });
    // Every step of a switch has its own deadline, so this ends.
    const auto complete = [](const service_progress& p) {
        return p.to_cross == 0;
    };
    while (!wait(service, complete, clock::time_point::max())) {
    }
    parts_->on_all(service, [](shard& s) { s.end_order(); });
}

void engine::learn_custom_settings(service_id service, std::span<const std::string> names) {
    for (const std::string& name : names) {
        parts_->services[service].learn(name);
    }
}

std::vector<std::string> engine::custom_settings(service_id service) const {
    std::uint64_t version = ~std::uint64_t{0};
    std::vector<std::string> names;
    parts_->services[service].names_since(version, names);
    return names;
}

std::size_t
engine::terminate(service_id service, std::span<const session_id> ids, const farewell& last_words) {
    std::atomic<std::size_t> found{0};
    parts_->on_all(service, [&](shard& s) { found += s.terminate(ids, last_words); });
    return found;
}

std::size_t
engine::drain(service_id service, const drain_filter& which, const farewell& last_words) {
    std::atomic<std::size_t> found{0};
    parts_->on_all(service, [&](shard& s) {
        found += s.drain(which, last_words);
        s.publish_now();
    });
    return found;
}

void engine::end_drain(service_id service) {
    parts_->on_all(service, [](shard& s) {
        s.end_drain();
        s.publish_now();
    });
}

}  // namespace pgsluice::proxy
