// What the control plane asks about connections and has done to them.
#include "proxy/engine/engine_parts.hpp"
#include "proxy/engine/shard.hpp"
#include "proxy/engine/worker.hpp"
#include "proxy/session/session.hpp"

#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

namespace pgsluice::proxy {

service_traffic engine::counted_traffic(service_id service) const {
    std::mutex mutex;
    service_traffic sum;
    parts_->on_all(service, [&](shard& s) {
        const std::lock_guard lock(mutex);
        sum.add(s.counted_traffic());
    });
    return sum;
}

std::vector<std::int32_t> engine::backend_pids(service_id service, std::uint32_t backend) {
    std::mutex mutex;
    std::vector<std::int32_t> pids;
    parts_->on_all(service, [&](shard& s) {
        const std::lock_guard lock(mutex);
        s.for_each([&](session& each) {
            const leg* const lines[] = {
                each.current_leg(), each.spare() == nullptr ? nullptr : each.spare()->line.get()};
            for (const leg* l : lines) {
                if (l != nullptr && l->backend == backend && l->pid != 0) {
                    pids.push_back(l->pid);
                }
            }
        });
    });
    return pids;
}

std::size_t engine::reconnect(service_id service) {
    std::atomic<std::size_t> found{0};
    parts_->on_all(service, [&](shard& s) {
        found += s.reconnect();
        s.publish_now();
    });
    return found;
}

void engine::set_canary(service_id service, std::shared_ptr<const canary_route> to) {
    parts_->on_all(service, [&](shard& s) {
        s.set_canary(to);
        s.publish_now();
    });
}

void engine::take_clients(service_id service, bool on) {
    parts_->on_all(service, [on](shard& s) { s.take_clients(on); });
}

void engine::stop_listening() {
    parts_->on_all(0, [](shard& s) { s.stop_listening(); });
}

}  // namespace pgsluice::proxy
