#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace pgsluice::proxy {

/// How many sessions may be copied at once while clients are served, so that servers which do other
/// work at that time do not get slower for it: one more as long as a copy takes about as long as
/// the fastest did, half as many when it takes twice that. A server that is far away takes its time
/// however few there are, so it is given many; one that is busy is given few. One a worker.
class turn_pace {
public:
    using duration = std::chrono::steady_clock::duration;

    /// Begins anew, for other servers.
    void reset() noexcept { *this = {}; }

    /// At least one, at most `most`.
    std::uint32_t limit(std::uint32_t most) const noexcept {
        return std::clamp<std::uint32_t>(limit_, 1, std::max<std::uint32_t>(1, most));
    }

    /// A copy took so long, from the login on the new server until it was compared. `most` as
    /// above.
    void finished(duration took, std::uint32_t most) noexcept {
        fastest_ = std::min(fastest_, took);
        if (took / slower_by > fastest_) {
            // Those that ran beside this one were slow for the same reason.
            if (since_change_ >= limit_) {
                change(limit_ / 2);
            }
            is_starting_ = false;
        } else if (is_starting_ || since_change_ >= limit_) {
            change(std::min(limit_ + 1, most));
        }
        ++since_change_;
    }

private:
    static constexpr int slower_by = 2;

    void change(std::uint32_t to) noexcept {
        limit_ = std::max<std::uint32_t>(1, to);
        since_change_ = 0;
    }

    duration fastest_ = duration::max();
    std::uint32_t limit_ = 1;
    std::uint32_t since_change_ = 0;  ///< copies finished since the limit was changed
    bool is_starting_ = true;         ///< nothing was slow yet: each copy allows one more
};

}  // namespace pgsluice::proxy
