#pragma once

#include "protocol/errors.hpp"

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace pgsluice::control {

/// What a service is doing as a whole.
enum class mode : std::uint8_t {
    recovering,  ///< at start: the journal told of something unfinished
    serving,     ///< the gate is open
    holding,     ///< the gate is closed, sessions are still on their way to a boundary
    held,        ///< every session is parked
    switching,   ///< past the commit point: only forward from here
    reverting,   ///< the gate is about to open on the old backend
    draining,    ///< the process is about to end
};
inline constexpr std::size_t modes = 7;

enum class mode_event : std::uint8_t {
    recovered,  ///< nothing is unfinished any more, the gate opens
    hold,       ///< close the gate
    park,       ///< the last session has parked
    revert,     ///< give up before the commit point
    reverted,   ///< the gate is open again
    commit,     ///< the journal holds the commit record
    open,       ///< the switched sessions are let go
    stay,       ///< the switched sessions stay held, as they were before
    drain,      ///< the process was told to end
};
inline constexpr std::size_t mode_events = 9;

std::string_view to_string(mode value) noexcept;
std::string_view to_string(mode_event value) noexcept;

struct mode_transition {
    mode from;
    mode_event event;
    mode to;
};

/// Every transition there is; what is not in it is illegal.
inline constexpr std::array<mode_transition, 16> mode_table{{
    {mode::recovering, mode_event::recovered, mode::serving},
    {mode::recovering, mode_event::park, mode::held},
    {mode::recovering, mode_event::drain, mode::draining},
    {mode::serving, mode_event::hold, mode::holding},
    {mode::serving, mode_event::drain, mode::draining},
    {mode::holding, mode_event::park, mode::held},
    {mode::holding, mode_event::revert, mode::reverting},
    {mode::holding, mode_event::drain, mode::draining},
    {mode::held, mode_event::commit, mode::switching},
    {mode::held, mode_event::revert, mode::reverting},
    {mode::held, mode_event::drain, mode::draining},
    {mode::switching, mode_event::open, mode::serving},
    {mode::switching, mode_event::stay, mode::held},
    {mode::reverting, mode_event::reverted, mode::serving},
    {mode::reverting, mode_event::drain, mode::draining},
    {mode::draining, mode_event::drain, mode::draining},
}};

/// The mode of one service. Not thread-safe: the owner of the service's operation moves it.
class mode_machine {
public:
    explicit mode_machine(mode initial = mode::serving) : current_(initial) {}

    mode current() const { return current_; }

    /// Moves on and returns the new mode; or fails, naming mode and event, and stays.
    result<mode> apply(mode_event event);

private:
    mode current_;
};

}  // namespace pgsluice::control
