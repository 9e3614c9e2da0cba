#pragma once

#include "control/journal/format.hpp"
#include "control/records/canary.hpp"
#include "control/records/cutover.hpp"
#include "control/records/fence.hpp"
#include "control/records/read_only.hpp"
#include "control/records/stages.hpp"
#include "protocol/errors.hpp"
#include "proxy/access/admission.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>

namespace pgsluice::control {

/// Journal kinds of a service besides a cutover's own (record_json.hpp):
///
///   route   {"backend", "generation", "access"?: "read-only", "fences"?: {BACKEND: FENCE},
///           "previous"?: BACKEND, "took_us"?: {STEP: N}}   the first start, or a summary
///   pause   {"on_timeout"}              a pause begins: the gate is about to close
///   paused  {}                          it stands; it stays over a restart
///   resume  {"why"}                     the gate is about to open
///   admit   {"set", "unadmitted", "message"?, "by"?}   whom the open gate is about to let through
///   clients {"taken", "by"?}            whether new clients are about to be let in
///   stages  {"state", ...}              a run of stages: begun (with "of", "by" and "what":
///                                       "canary", or of an admission), held, paused, resumed or
///                                       over (with "outcome"); its sets are `admit` or `canary`
///                                       records with "stage"
///   canary  see canary_record.hpp, with "by"?   who goes elsewhere than the route is about to
///   change readonly  see read_only_record.cpp   forced read-only is about to change
namespace journal_kinds {
inline constexpr std::string_view route = "route";
inline constexpr std::string_view pause = "pause";
inline constexpr std::string_view paused = "paused";
inline constexpr std::string_view resume = "resume";
inline constexpr std::string_view admit = "admit";
inline constexpr std::string_view clients = "clients";
inline constexpr std::string_view stages = "stages";
inline constexpr std::string_view canary = "canary";
inline constexpr std::string_view readonly = "readonly";
}  // namespace journal_kinds

/// What the journal says about one service.
struct service_state {
    std::string backend;           ///< the route; empty before the first start
    std::uint64_t generation = 0;  ///< of the route
    bool is_paused = false;        ///< by the operator; a pause that was still waiting is not
    proxy::admission admitted{};
    bool takes_clients = true;              ///< new ones
    std::optional<stages_record> stages{};  ///< that were not over
    canary_record canary{};
    read_only_record read_only{};
    std::optional<unfinished_cutover> unfinished{};
    std::string previous{};   ///< that the last committed cutover left; empty: there was none
    step_times times{};       ///< of the last cutovers that were carried through
    fence_memories fences{};  ///< that our cutovers left on the backends they came from
};

using service_states = std::map<std::string, service_state, std::less<>>;

/// Folds records, oldest first, into what a start has to do: with an unfinished cutover that holds
/// no commit record the route is the old backend and the fence must be undone; with one it is the
/// new backend and what is left must be done. Fails on a record that contradicts those before it.
result<service_states> replay(std::span<const journal_record> records);

/// The records to keep when the journal has grown: those of the last `recent` and of everything
/// unfinished, behind one `route` (and `paused`, `stages`, `admit`, `clients`, `canary`,
/// `readonly`) record a service that sums up the rest. Replays to the same states.
result<std::vector<journal_record>>
compact(std::span<const journal_record> records, std::size_t recent);

}  // namespace pgsluice::control
