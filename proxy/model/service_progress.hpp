#pragma once

#include <cstdint>

namespace pgsluice::proxy {

/// Sums over all workers, taken from what each published last. A worker publishes after every batch
/// of events in which one of these changed, so a wait on them needs no polling.
struct service_progress {
    std::uint32_t held = 0;      ///< clients whose startup waits for the gate
    std::uint32_t sessions = 0;  ///< sessions past the gate: parked or still to park
    std::uint32_t parked = 0;
    /// After hold_long(): held, still to park; or busy since before it, so that it may become long.
    std::uint32_t long_running = 0;
    std::uint32_t draining = 0;      ///< after drain(): not ended yet
    std::uint32_t to_reconnect = 0;  ///< after reconnect(): still on the connection they had
    std::uint32_t to_follow = 0;     ///< after set_canary(): still to move, or to be guarded
    std::uint32_t on_canary = 0;     ///< on the canary's backend
    std::uint32_t unguarded = 0;     ///< while forced read-only: still able to write
    // the rest is zero unless a move order stands
    std::uint32_t prepared = 0;   ///< have a logged-in spare that carries the state last captured
    std::uint32_t preparing = 0;  ///< being captured or prepared, or waiting for their turn
    std::uint32_t settled = 0;    ///< parked with a final verdict "movable" and nothing left to do
    std::uint32_t pinned = 0;     ///< parked with a final verdict "pinned"
    std::uint32_t unready = 0;  ///< parked, the new backend refused them (login, replay); see pins
    // after a switch
    std::uint32_t to_switch = 0;  ///< still to be switched
    std::uint32_t to_cross = 0;   ///< of these: the new connection still lacks something
    std::uint32_t switched = 0;
    std::uint32_t lost = 0;  ///< could not follow after the switch, ended with 57P01

    friend bool operator==(const service_progress&, const service_progress&) = default;
};

}  // namespace pgsluice::proxy
