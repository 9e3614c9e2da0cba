#pragma once

#include "proxy/net/reactor.hpp"
#include "proxy/net/stream.hpp"
#include "proxy/net/task.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

// Messages that are needed as a whole, for the conversations outside the pump.

namespace pgsluice::proxy {

/// Views into the buffer that it was found in.
struct whole_message {
    std::uint8_t type = 0;
    byte_view all;  ///< header and body
    byte_view body;
};

/// The message at the front of `bytes` once it is whole; sets `broken` when it never can be, its
/// length being impossible or more than `bytes_max`.
std::optional<whole_message> message_at(byte_view bytes, std::size_t bytes_max, bool& broken);

/// Waits for bytes and appends them to `buffer`. Results as of read_answer().
task<io_result>
read_more(stream& s, wait_point& point, std::vector<std::uint8_t>& buffer, steady_time deadline);

}  // namespace pgsluice::proxy
