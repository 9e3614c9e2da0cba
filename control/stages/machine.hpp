#pragma once

#include "control/base/deadline.hpp"
#include "control/stages/plan.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::control {

enum class stage_state : std::uint8_t {
    running,      ///< the stage's dwell time passes
    held,         ///< a guard failed: the dwell time begins anew once all of them pass
    paused,       ///< by the operator: its dwell time stands still
    fallen_back,  ///< a guard failed: the stage before is in force again, until the operator speaks
    over,
};
std::string_view to_string(stage_state state) noexcept;

/// What a guard says at one look.
struct guard_verdict {
    bool is_ok = true;
    guard_policy on_fail = guard_policy::hold;
    std::string text;      ///< its reading beside its bound, one line
    bool is_ready = true;  ///< false: more has to be seen before the next stage
};

/// Decides which stage is next, and nothing else: no clock of its own, no effects. Stages count
/// from 1; 0 is the set that stood before the run.
class stage_machine {
public:
    using time_point = limits::clock::time_point;
    using milliseconds = std::chrono::milliseconds;

    /// What has to be done now. Whoever does it says so by carried_out(); until then the machine
    /// stays where it is, and asks again.
    struct order {
        enum class what : std::uint8_t { nothing, advance, fall_back, finish };
        what todo = what::nothing;
        std::size_t stage = 0;  ///< to admit
        std::string why;        ///< fall_back: the guards' words
    };

    explicit stage_machine(std::vector<milliseconds> dwells) : dwells_(std::move(dwells)) {}

    /// One look. `gate_open` is false while the service is paused: nothing is served, so nothing is
    /// learned and no dwell time passes.
    order look(time_point now, std::span<const guard_verdict> guards, bool gate_open);
    /// The next stage at once, whatever the guards say; a paused run stays paused.
    std::optional<order> skip() const;
    /// False where the run has stopped already.
    bool pause();
    /// False where nothing was paused and nothing has fallen back.
    bool resume();
    /// The first stage, or what look() or skip() asked for, is in force from now on.
    void carried_out(const order& done, time_point now);
    void end() { state_ = stage_state::over; }

    stage_state state() const { return state_; }
    std::size_t stages() const { return dwells_.size(); }
    std::size_t stage() const { return stage_; }
    /// Why it is held or has fallen back; empty otherwise.
    const std::string& why() const { return why_; }
    milliseconds dwell() const { return stage_ == 0 ? milliseconds{0} : dwells_[stage_ - 1]; }
    /// How much of it has passed.
    milliseconds dwelt() const { return std::chrono::duration_cast<milliseconds>(dwelt_); }
    time_point since() const { return since_; }

private:
    order next() const;

    std::vector<milliseconds> dwells_;
    stage_state state_ = stage_state::running;
    std::size_t stage_ = 0;
    std::string why_;
    time_point since_{};  ///< the stage is in force
    time_point looked_{};
    limits::clock::duration dwelt_{0};
};

}  // namespace pgsluice::control
