// The order of stages, as a pure state machine.
#include "control/stages/machine.hpp"

#include <algorithm>
#include <utility>

namespace pgsluice::control {
namespace {

/// The words of the guards that failed and do `policy`; empty if none did.
std::string failed(std::span<const guard_verdict> guards, guard_policy policy) {
    std::string words;
    for (const guard_verdict& each : guards) {
        if (!each.is_ok && each.on_fail == policy) {
            words += (words.empty() ? "" : "; ") + each.text;
        }
    }
    return words;
}

}  // namespace

std::string_view to_string(stage_state state) noexcept {
    static constexpr std::string_view names[] = {
        "running", "held", "paused", "fallen_back", "over"};
    return names[static_cast<std::size_t>(state)];
}

stage_machine::order
stage_machine::look(time_point now, std::span<const guard_verdict> guards, bool gate_open) {
    const auto passed = now - std::exchange(looked_, now);
    if (state_ == stage_state::over || state_ == stage_state::fallen_back || !gate_open) {
        return {};
    }
    std::string why = stage_ == 0 ? "" : failed(guards, guard_policy::fall_back);
    if (!why.empty()) {
        return {order::what::fall_back, stage_ - 1, std::move(why)};
    }
    if (state_ == stage_state::paused) {
        return {};
    }
    why_ = failed(guards, guard_policy::hold);
    if (!why_.empty()) {
        state_ = stage_state::held;
        dwelt_ = {};
        return {};
    }
    if (std::exchange(state_, stage_state::running) == stage_state::running) {
        dwelt_ += passed;
    }
    const bool is_ready = std::all_of(guards.begin(), guards.end(), [](const guard_verdict& each) {
        return each.is_ready;
    });
    return is_ready && dwelt_ >= dwell() ? next() : order{};
}

stage_machine::order stage_machine::next() const {
    return stage_ == stages() ? order{order::what::finish, stage_, {}}
                              : order{order::what::advance, stage_ + 1, {}};
}

std::optional<stage_machine::order> stage_machine::skip() const {
    return state_ == stage_state::over ? std::nullopt : std::optional(next());
}

bool stage_machine::pause() {
    if (state_ != stage_state::running && state_ != stage_state::held) {
        return false;
    }
    state_ = stage_state::paused;
    why_.clear();
    return true;
}

bool stage_machine::resume() {
    if (state_ != stage_state::paused && state_ != stage_state::fallen_back) {
        return false;
    }
    if (state_ == stage_state::fallen_back) {
        dwelt_ = {};
    }
    state_ = stage_state::running;
    why_.clear();
    return true;
}

void stage_machine::carried_out(const order& done, time_point now) {
    if (done.todo == order::what::finish) {
        state_ = stage_state::over;
        return;
    }
    stage_ = done.stage;
    since_ = now;
    looked_ = now;
    dwelt_ = {};
    why_ = done.why;
    if (done.todo == order::what::fall_back) {
        state_ = stage_state::fallen_back;
    } else if (state_ != stage_state::paused) {
        state_ = stage_state::running;
    }
}

}  // namespace pgsluice::control
