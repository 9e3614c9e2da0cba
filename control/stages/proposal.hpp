#pragma once

#include "proxy/access/address_set.hpp"
#include "proxy/model/session_info.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::control {

/// What comes from one client address.
struct address_load {
    proxy::client_address from;
    std::uint64_t weight = 0;
};

/// A part of the load: the set that admits it and every part before it.
struct load_part {
    std::vector<std::string> tokens;
    double percent = 0;         ///< of the whole load, this part alone
    std::size_t addresses = 0;  ///< that are in it
};

/// Cuts the addresses, in their order, into parts that are about equal; where it makes little
/// difference, at the shortest prefix. The last part is everybody. Fewer than `parts` where there
/// are not enough addresses. Empty without any load.
std::vector<load_part> split_load(std::vector<address_load> loads, std::size_t parts);

/// The client of `sluicectl sessions`: "10.0.0.1:5000", "[::1]:5000", "unix".
std::optional<proxy::client_address> client_of(std::string_view address);

/// By `sessions`, `transactions` or `bytes`, of the sessions that are there.
std::vector<address_load>
loads_of(std::span<const proxy::session_info> sessions, std::string_view by);

/// A file for `sluicectl admit --stages`.
std::string stages_file(const std::vector<load_part>& parts, std::string_view by);

}  // namespace pgsluice::control
