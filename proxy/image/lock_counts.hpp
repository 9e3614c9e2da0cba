#pragma once

#include "proxy/image/script.hpp"
#include "proxy/image/session_image.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace pgsluice::proxy {

class script_frame;

/// Adds the taking of each lock, once; a lock that somebody else holds fails with 55P03.
void add_locks(script_frame& frame, std::span<const advisory_lock> locks);

// A session may hold an advisory lock several times, which no view shows: only unlocking until it
// is gone counts. The replay takes every lock once. When nothing can go back any more, and before
// the old leg is dropped:
//   1. count_locks_request() on OLD      the locks are gone there and held once on NEW
//   2. take_locks_request(counts - 1) on NEW
// If the move is given up after 1 instead: take_locks_request(counts) on OLD. In between another
// session of OLD could have taken the lock; then the script fails (55P03) and the session's state
// is lost, so its client must be told (57P01). Sessions with locks should therefore be counted
// last.

/// Unlocks every lock of `locks` on the leg until it is no longer held, counting.
script count_locks_request(std::span<const advisory_lock> locks);

/// How often each lock was held, in the order asked; at least 1 each, else 55000: the lock was
/// gone.
result<std::vector<std::uint32_t>>
counted_locks(std::span<const advisory_lock> locks, const script_outcome& outcome);

/// Takes each lock `holds[i]` times more (0 allowed) with the try functions.
script
take_locks_request(std::span<const advisory_lock> locks, std::span<const std::uint32_t> holds);

}  // namespace pgsluice::proxy
