// Failures by address, forgotten after some time; the table is bounded.

#include "proxy/access/failure_limit.hpp"

namespace pgsluice::proxy {

bool failure_limit::is_reached(const client_address& by, std::uint32_t max, time now) {
    if (max == 0 || by.is_local) {
        return false;
    }
    const std::lock_guard lock(mutex_);
    const auto found = tallies_.find(by.network());
    if (found == tallies_.end()) {
        return false;
    }
    if (now - found->second.since >= window) {
        tallies_.erase(found);
        return false;
    }
    return found->second.count >= max;
}

bool failure_limit::count(const client_address& by, std::uint32_t max, time now) {
    if (max == 0 || by.is_local) {
        return false;
    }
    const std::lock_guard lock(mutex_);
    const key who = by.network();
    if (tallies_.size() >= addresses_max && !tallies_.contains(who)) {
        make_room(max, now);
    }
    tally& mine = tallies_.try_emplace(who, tally{now, 0}).first->second;
    if (now - mine.since >= window) {
        mine = {now, 0};
    }
    ++mine.count;
    return mine.count == max;
}

void failure_limit::make_room(std::uint32_t max, time now) {
    std::erase_if(tallies_, [&](const auto& each) {
        return each.second.count < max || now - each.second.since >= window;
    });
    if (tallies_.size() >= addresses_max) {
        tallies_.clear();
    }
}

std::size_t failure_limit::size() const {
    const std::lock_guard lock(mutex_);
    return tallies_.size();
}

}  // namespace pgsluice::proxy
