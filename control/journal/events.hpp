#pragma once

#include "control/journal/format.hpp"

#include <boost/json/array.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace pgsluice::control {

/// Which records of the journal somebody wants to see.
struct event_filter {
    std::string service;      ///< empty = of all, and the daemon's own
    std::uint64_t after = 0;  ///< only what has a higher number
    std::size_t last = 0;     ///< at most so many, the newest; 0 = all
};

/// The records as `sluicectl events` shows them, oldest first: {"seq", "at" (UTC, ISO 8601),
/// "service", "event", "text", "payload"}.
boost::json::array events_json(std::span<const journal_record> records, const event_filter& wanted);

/// One line for people: "blue -> green, generation 2".
std::string event_text(const journal_record& record);

}  // namespace pgsluice::control
