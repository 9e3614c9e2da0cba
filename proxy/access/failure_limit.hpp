#pragma once

#include "proxy/access/address_set.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>

namespace pgsluice::proxy {

/// How often something has gone wrong lately, by the address of the client it went wrong for. IPv6
/// addresses count by their first 64 bits, which one host has to itself; unix sockets do not count
/// at all. Any thread; for cold paths. `max` 0 means that there is no limit, and costs nothing.
class failure_limit {
public:
    using time = std::chrono::steady_clock::time_point;

    /// Counted together, from the first one on.
    static constexpr std::chrono::seconds window{60};
    /// Beyond it whatever is not over its limit is forgotten, and if that is not enough, all.
    static constexpr std::size_t addresses_max = 10'000;

    /// As many as `max` have been counted for the address, within a window that has not ended.
    bool is_reached(const client_address& by, std::uint32_t max, time now);

    /// Counts one more. True if that was the one that reaches `max`.
    bool count(const client_address& by, std::uint32_t max, time now);

    std::size_t size() const;

private:
    using key = std::array<std::uint8_t, 16>;
    struct tally {
        time since;
        std::uint32_t count = 0;
    };

    void make_room(std::uint32_t max, time now);

    mutable std::mutex mutex_;
    std::map<key, tally> tallies_;
};

}  // namespace pgsluice::proxy
