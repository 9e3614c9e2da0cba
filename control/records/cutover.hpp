#pragma once

#include "control/records/fence.hpp"
#include "protocol/errors.hpp"
#include "proxy/access/admission.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::control {

/// One live figure of a dry run: ("lag", "16 kB").
struct reading {
    std::string name;
    std::string value;
};

struct step_report {
    std::string name;
    std::chrono::microseconds took{0};
    std::string text;       ///< the step's own words, "12 of 14 sequences set"
    bool in_pause = false;  ///< between the last close of the gate and its opening
};

/// Where the time went for which clients waited. held = drained + waited + added.
struct pause_figures {
    using microseconds = std::chrono::microseconds;

    microseconds held{0};     ///< gate closed to gate open
    microseconds drained{0};  ///< until the last session had parked: the clients' own transactions
    microseconds waited{0};   ///< for replication to catch up and for the promotion
    microseconds added{0};    ///< the rest: what the proxy itself adds, the stall of the last one

    friend bool operator==(const pause_figures&, const pause_figures&) = default;
};

/// What is going on, for status and for whoever waits for the command.
struct step_progress {
    std::string step;
    std::string text;
    std::chrono::milliseconds elapsed{0};  ///< since the cutover began
    bool done = false;                     ///< the step's last word
};

/// What a cutover leaves in the journal, in this order. Everything a restart needs is in them.
enum class record_kind : std::uint8_t {
    begun,      ///< from here on a restart has something to undo; carries `fence`
    promoting,  ///< the standby is about to be promoted: it may no longer follow the old server
    committed,  ///< THE commit point: from here on the new server is the truth
    aborted,    ///< everything is undone
    done,       ///< nothing is left to do; carries `steps`
};

/// The name in the journal, "begun".
std::string_view to_string(record_kind kind) noexcept;

struct cutover_record {
    record_kind kind = record_kind::begun;
    std::string id{};
    std::string from{};
    std::string to{};
    bool retarget = false;         ///< the route alone: no fence, no replication
    bool way_back = false;         ///< begun: what prepares it may have to be taken away again
    std::uint64_t generation = 0;  ///< committed: the route's new one
    std::optional<fence_memory> fence{};
    /// begun: what the fence of an earlier cutover replaced on `to`, where it is to be taken down.
    std::optional<fence_memory> to_fence{};
    /// committed: whom the gate lets through from now on; nothing: as before.
    std::optional<proxy::admission> admit{};
    bool read_only = false;            ///< committed: clients are forced read-only from now on
    std::string text{};                ///< aborted: why; done: what needs an operator, or empty
    std::vector<step_report> steps{};  ///< aborted and done
    pause_figures pause{};             ///< aborted and done
};

/// A cutover that the process did not live to finish, as the journal tells it at start.
struct unfinished_cutover {
    cutover_record begun;
    bool promoting = false;
    bool committed = false;
};

/// What each step took in the last cutover that was carried through, by name.
using step_times = std::map<std::string, std::chrono::microseconds, std::less<>>;

/// Into `times` what the steps of a cutover that was carried through have taken.
void remember_times(step_times& times, std::span<const step_report> steps);

}  // namespace pgsluice::control
