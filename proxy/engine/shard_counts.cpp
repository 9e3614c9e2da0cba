// What a shard counts, for whoever asks and for those who wait.
#include "proxy/engine/shard.hpp"
#include "proxy/engine/worker.hpp"
#include "proxy/session/session.hpp"

#include <utility>

namespace pgsluice::proxy {

void shard::read_load(bool on) {
    auto before = std::exchange(load_, on ? std::make_unique<service_load>() : nullptr);
    for_each([](session& s) { s.read_load(); });
}

void shard::count_failure(std::string_view sqlstate, load_side side) {
    if (load_) {
        load_readings& sum = load_->of(side);
        ++sum.answers;
        if (!sqlstate.empty()) {
            sum.add_error(sqlstate);
        }
    }
}

void shard::count_stall(steady_time::duration waited) noexcept {
    stalls_.add(waited);
    ++ended_.waits;
    ended_.waited += std::chrono::duration_cast<std::chrono::microseconds>(waited);
}

service_traffic shard::counted_traffic() const {
    service_traffic all = ended_;
    for (const auto& [id, s] : sessions_) {
        all.sum.add(s->counted());
    }
    return all;
}

stall_histogram shard::stalls() const {
    stall_histogram all = stalls_;
    const steady_time now = reactor::now();
    for (const auto& [id, s] : sessions_) {
        if (s->waits()) {
            all.add(now - s->waiting_since());
        }
    }
    return all;
}

void shard::publish_now() {
    changed_ = false;
    const service_progress now = count();
    guards_ = now.unguarded != 0;
    follows_ = now.to_switch != 0;
    strays_ = now.to_follow != 0;
    shared_.publish(worker_.index(), now);
}

service_progress shard::count() const {
    service_progress sum;
    sum.switched = switched_;
    sum.lost = lost_;
    for (const auto& [id, s] : sessions_) {
        const session_phase phase = s->phase();
        if (phase == session_phase::startup || s->ending()) {
            continue;
        }
        if (phase == session_phase::held) {
            ++sum.held;
            continue;
        }
        ++sum.sessions;
        const bool is_parked = phase == session_phase::parked || phase == session_phase::moving;
        sum.parked += is_parked ? 1 : 0;
        const bool may_be_long = s->held_back() || s->works_since_before(holds_long_since_);
        sum.draining += s->is_draining() ? 1 : 0;
        sum.to_reconnect += s->is_to_reconnect() ? 1 : 0;
        sum.to_follow += s->is_following() ? 1 : 0;
        sum.on_canary += s->current_leg() != nullptr && s->current_leg()->is_canary ? 1 : 0;
        sum.unguarded += read_only() && !s->is_guarded() && phase != session_phase::login ? 1 : 0;
        sum.long_running += holds_long_ && may_be_long && !is_parked ? 1 : 0;
        sum.to_switch += s->switching() ? 1 : 0;
        sum.to_cross += s->crossing() ? 1 : 0;
        if (!order_) {
            continue;
        }
        const move_stage stage = s->stage();
        const bool its_turn_can_come = stage == move_stage::queued && (is_parked || s->at_rest());
        const bool working = stage == move_stage::granted || stage == move_stage::preparing;
        const bool is_final = !gate_open_ && is_parked;
        sum.preparing += its_turn_can_come || working ? 1 : 0;
        sum.prepared += stage == move_stage::prepared || stage == move_stage::settled ? 1 : 0;
        sum.settled += is_final && stage == move_stage::settled ? 1 : 0;
        sum.pinned += is_final && stage == move_stage::pinned ? 1 : 0;
        sum.unready += is_final && stage == move_stage::unready ? 1 : 0;
    }
    return sum;
}

}  // namespace pgsluice::proxy
