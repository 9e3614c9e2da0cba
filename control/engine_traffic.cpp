// The gate of one service, moved only as the mode table allows.
#include "control/engine_traffic.hpp"

#include <spdlog/spdlog.h>

namespace pgsluice::control {

engine_traffic::engine_traffic(
    proxy::engine& engine, std::size_t id, std::string service, mode initial
)
    : engine_(engine), id_(id), service_(std::move(service)), machine_(initial), shown_(initial) {}

void engine_traffic::apply(mode_event event) {
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

void engine_traffic::close_gate() {
    if (machine_.current() == mode::serving) {
        apply(mode_event::hold);
    }
    engine_.close_gate(id_);
}

void engine_traffic::hold_long(std::chrono::milliseconds threshold) {
    engine_.hold_long(id_, threshold);
}

void engine_traffic::open_gate() {
    switch (machine_.current()) {
    case mode::holding:
    case mode::held:
        apply(mode_event::revert);
        engine_.open_gate(id_);
        apply(mode_event::reverted);
        break;
    case mode::switching:
        engine_.open_gate(id_);
        apply(mode_event::open);
        break;
    case mode::recovering:
        engine_.open_gate(id_);
        apply(mode_event::recovered);
        break;
    case mode::serving:
    case mode::reverting:
    case mode::draining:
        engine_.open_gate(id_);
        break;
    }
}

bool engine_traffic::wait(
    const std::function<bool(const proxy::service_progress&)>& done,
    limits::clock::time_point deadline
) {
    const bool is_done = engine_.wait(id_, done, deadline);
    if (is_done && machine_.current() == mode::holding && all_parked(engine_.progress(id_))) {
        apply(mode_event::park);
    }
    return is_done;
}

void engine_traffic::commit_move(proxy::route to, const proxy::farewell& to_left_behind) {
    if (machine_.current() == mode::holding) {
        apply(mode_event::park);
    }
    apply(mode_event::commit);
    engine_.commit_move(id_, to, to_left_behind);
}

void engine_traffic::settle() {
    if (machine_.current() == mode::switching) {
        apply(mode_event::stay);
    }
}

}  // namespace pgsluice::control
