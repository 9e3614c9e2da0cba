#pragma once

#include "control/config/config.hpp"
#include "control/cutover/world.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace pgsluice::control {

/// One `cutover` or `retarget` as the operator asked for it, with the configuration's defaults
/// filled in. Names stand beside indexes because people read the one and workers the other.
struct cutover_request {
    using milliseconds = std::chrono::milliseconds;

    std::string id;
    std::string service;
    std::string from;
    std::string to;
    std::uint32_t from_backend = 0;  ///< index into service_settings::backends
    std::uint32_t to_backend = 0;
    bool way_back = false;  ///< the old server follows the new one afterwards
    bool retarget = false;  ///< route and sessions only: no checks of servers, no fence
    replication_kind replication = replication_kind::none;
    pinned_policy on_pinned = pinned_policy::abort;

    milliseconds timeout{600'000};  ///< of everything before the commit point
    milliseconds preflight_timeout{15'000};
    milliseconds prepare_timeout{30'000};  ///< passing it is no failure: the rest is done paused
    /// Sessions whose transactions take this long are parked before all others; 0: nobody is.
    milliseconds long_transaction{500};
    milliseconds drain_timeout{10'000};  ///< of both passes together
    milliseconds verdict_timeout{10'000};
    milliseconds fence_timeout{10'000};
    milliseconds catch_up_timeout{30'000};
    milliseconds sequences_timeout{10'000};
    milliseconds promote_timeout{60'000};
    milliseconds verify_timeout{10'000};
    milliseconds unsubscribe_timeout{10'000};
    milliseconds way_back_timeout{30'000};  ///< of preparing and of beginning to follow
    /// The longest that the gate stays closed before the commit point; 0: as long as the steps may.
    milliseconds pause_limit{0};
    std::uint32_t attempts = 1;  ///< by whoever runs it: each is a cutover of its own
    milliseconds retry_after{5'000};
    fence_method fence = fence_method::default_read_only;
    milliseconds hook_timeout{60'000};
    std::vector<std::string> prewarm{};    ///< relations to read ahead on the new server
    milliseconds prewarm_timeout{30'000};  ///< passing it is no failure: what is left stays cold
    std::string state_dir{};               ///< of the journal
    /// Whom the gate lets through from the switch on; nothing: as before.
    std::optional<proxy::admission> admit_after{};
    bool read_only_after = false;  ///< from the switch on, whatever it was before
    bool has_before = false;       ///< the operator has a command for it
    bool has_after = false;
    bool has_abort = false;
    milliseconds hold_timeout{120'000};   ///< how long a failed undo may keep clients waiting
    milliseconds undo_interval{500};      ///< between two attempts to reach a server for an undo
    milliseconds undo_patience{600'000};  ///< how long it is tried with the gate open again
    /// What an earlier cutover could not put back on `from`, which did not answer.
    std::optional<fence_memory> fence_left{};
    /// What the fence that an earlier cutover left on `to` replaced there.
    std::optional<fence_memory> to_fence{};
};

/// One line of the plan that a dry run prints.
struct planned_step {
    std::string name;
    std::chrono::milliseconds deadline{0};
    std::optional<std::chrono::microseconds> expected{};  ///< nothing when it was never taken
    std::string does;
    std::string undo;  ///< "-" when there is nothing to undo
};

/// The steps that `run_cutover` would take, in order.
std::vector<planned_step> make_plan(const cutover_request& request);

/// What came of it. The journal keeps the steps; this is what the operator is told.
struct cutover_report {
    int exit_code = 0;  ///< as the commands' table says: 0 done, 1 aborted, 5 deadline, 6 operator
    std::string outcome;            ///< done | aborted | needs-operator
    std::string text;               ///< one line: which step failed and why, or what was done
    std::string hint;               ///< what to do next; may be empty
    std::vector<std::string> rows;  ///< sessions or objects in question
    std::vector<check_row> checks;  ///< the preflight's
    std::vector<step_report> steps;
    std::uint32_t sessions = 0;            ///< when the last one had parked
    std::uint32_t switched = 0;            ///< moved alive
    std::uint32_t lost = 0;                ///< could not follow after the switch
    std::vector<std::string> left_behind;  ///< ended by the policy for pinned sessions
    pause_figures pause{};
    proxy::stall_histogram stalls{};  ///< of clients, from the cutover's begin to its end
    /// What could not be put back on the old server, which did not answer: it is still read-only.
    /// A restart tries again; a next cutover or retarget must be given it.
    std::optional<fence_memory> fence_left{};
    /// What the fence replaced that stays on the old server after a cutover.
    std::optional<fence_memory> fence_stands{};
};

/// Runs the whole sequence on the calling thread and returns when nothing of it is left to do.
/// Every failure before the commit point leads back to the old server; after it the new server is
/// the truth, whatever happens. Requires that no other operation of the service is under way.
cutover_report run_cutover(const cutover_request& request, cutover_world world);

/// What a cutover would find and do now.
struct rehearsal {
    std::vector<check_row> checks;
    std::vector<planned_step> plan;
    std::vector<reading> readings;
    std::vector<std::string> pinned;  ///< sessions known not to be movable
    int exit_code = 0;                ///< 1 when the cutover would be refused
    std::string text;
};

/// `--dry-run`: the preflight, the plan and live readings; changes nothing. A step is expected to
/// take what it took the last time, the preflight what it takes here.
rehearsal
rehearse_cutover(const cutover_request& request, cutover_world world, const step_times& last = {});

/// Finishes what a crash interrupted, with the gate still closed: back to the old server without a
/// commit record, forward with one. Opens the gate at the end (or at the hold timeout, when the old
/// server cannot be reached), and leaves `aborted` or `done` in the journal.
cutover_report recover_cutover(
    const unfinished_cutover& found, const cutover_request& request, cutover_world world
);

}  // namespace pgsluice::control
