#pragma once

#include "proxy/access/address_set.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>

namespace pgsluice::proxy {

/// How many connections of an address are there that have not logged in. Addresses count as in
/// failure_limit; there are no more entries than connections that are counted. Any thread; for
/// cold paths.
class newcomer_limit {
public:
    enum class answer : std::uint8_t {
        counted,        ///< leave() has to follow, once
        not_counted,    ///< there is no limit, or it is a unix socket
        refused,        ///< `max` of the address are there
        first_refused,  ///< the same, for the first time since none of the address was there
    };

    answer enter(const client_address& from, std::uint32_t max);
    void leave(const client_address& from);

    std::size_t size() const;

private:
    struct tally {
        std::uint32_t count = 0;
        bool has_refused = false;
    };

    mutable std::mutex mutex_;
    std::map<std::array<std::uint8_t, 16>, tally> tallies_;
};

}  // namespace pgsluice::proxy
