// The one place where the mode of a service changes, and the gate that follows the mode table.
#include "control/service/gated_traffic.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <string>

namespace pgsluice::control {

// --- mode

std::string_view to_string(mode value) noexcept {
    constexpr std::array<std::string_view, modes> names{
        "recovering", "serving", "holding", "held", "switching", "reverting", "draining"};
    return names[static_cast<std::size_t>(value)];
}

std::string_view to_string(mode_event value) noexcept {
    constexpr std::array<std::string_view, mode_events> names{
        "recovered", "hold", "park", "revert", "reverted", "commit", "open", "stay", "drain"};
    return names[static_cast<std::size_t>(value)];
}

result<mode> mode_machine::apply(mode_event event) {
    const auto row = std::find_if(mode_table.begin(), mode_table.end(), [&](const auto& each) {
        return each.from == current_ && each.event == event;
    });
    if (row == mode_table.end()) {
        return failure{
            "55000",
            "\"" + std::string(to_string(event)) + "\" is not possible while " +
                std::string(to_string(current_)),
            {},
            {}};
    }
    current_ = row->to;
    return current_;
}

// --- gate

gated_traffic::gated_traffic(std::string service, mode initial)
    : service_(std::move(service)), machine_(initial), shown_(initial) {}

void gated_traffic::apply(mode_event event) {
    const mode before = machine_.current();
    const auto after = machine_.apply(event);
    if (!after) {
        spdlog::critical("mode_broken service={} what={}", service_, after.error().message);
    }
    PGSLUICE_ASSERT(after.has_value());
    shown_ = *after;
    spdlog::debug(
        "mode service={} from={} event={} to={}",
        service_,
        to_string(before),
        to_string(event),
        to_string(*after)
    );
}

void gated_traffic::close_gate() {
    if (machine_.current() == mode::serving) {
        apply(mode_event::hold);
    }
    close_now();
}

void gated_traffic::open_gate() {
    switch (machine_.current()) {
    case mode::holding:
    case mode::held:
        apply(mode_event::revert);
        open_now();
        apply(mode_event::reverted);
        break;
    case mode::switching:
        open_now();
        apply(mode_event::open);
        break;
    case mode::recovering:
        open_now();
        apply(mode_event::recovered);
        break;
    case mode::serving:
    case mode::reverting:
    case mode::draining:
        open_now();
        break;
    }
}

bool gated_traffic::wait(
    const std::function<bool(const proxy::service_progress&)>& done,
    limits::clock::time_point deadline
) {
    const bool is_done = wait_now(done, deadline);
    if (is_done && machine_.current() == mode::holding && all_parked(progress())) {
        apply(mode_event::park);
    }
    return is_done;
}

void gated_traffic::commit_move(proxy::route to, const proxy::farewell& to_left_behind) {
    if (machine_.current() == mode::holding) {
        apply(mode_event::park);
    }
    apply(mode_event::commit);
    switch_now(to, to_left_behind);
}

void gated_traffic::settle() {
    if (machine_.current() == mode::switching) {
        apply(mode_event::stay);
    }
}

}  // namespace pgsluice::control
