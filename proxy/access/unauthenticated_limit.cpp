// Counts by network: an IPv4 address, or the first 64 bits of an IPv6 address.

#include "proxy/access/unauthenticated_limit.hpp"

#include "protocol/errors.hpp"

#include <utility>

namespace pgsluice::proxy {

newcomer_limit::answer newcomer_limit::enter(const client_address& from, std::uint32_t max) {
    if (max == 0 || from.is_local) {
        return answer::not_counted;
    }
    const std::lock_guard lock(mutex_);
    tally& mine = tallies_[from.network()];
    if (mine.count < max) {
        ++mine.count;
        return answer::counted;
    }
    return std::exchange(mine.has_refused, true) ? answer::refused : answer::first_refused;
}

void newcomer_limit::leave(const client_address& from) {
    const std::lock_guard lock(mutex_);
    const auto mine = tallies_.find(from.network());
    PGSLUICE_ASSERT(mine != tallies_.end() && mine->second.count > 0);
    if (--mine->second.count == 0) {
        tallies_.erase(mine);
    }
}

std::size_t newcomer_limit::size() const {
    const std::lock_guard lock(mutex_);
    return tallies_.size();
}

}  // namespace pgsluice::proxy
