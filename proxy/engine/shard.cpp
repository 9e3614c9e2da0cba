// What a service does with all of its sessions on one worker: gate, orders, turns. Counts are in
// shard_counts.cpp, what a switch leaves behind in shard_retired.cpp.

#include "proxy/engine/shard.hpp"

#include "proxy/engine/worker.hpp"
#include "proxy/session/session.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <unistd.h>

namespace pgsluice::proxy {

namespace {

constexpr std::uint32_t strangers_spare = 1000;  // who may be logging in beyond max_connections
constexpr std::size_t releases_per_turn = 64;    // parked sessions let go in one turn of the loop

/// The whole life of a session, which ends when it does.
void launch(std::unique_ptr<session> s, reactor& loop) {
    boost::asio::co_spawn(
        loop, [s = std::move(s)] { return s->run(); }, log_task_end
    );
}

}  // namespace

shard::shard(
    worker& home,
    service_shared& shared,
    std::shared_ptr<const service_settings> settings,
    route at,
    gate_start gate
)
    : session_host(home.share(), shared, std::move(settings), at), worker_(home) {
    PGSLUICE_ASSERT(gate.admitted != nullptr);
    gate_open_ = gate.is_open;
    takes_clients_ = gate.takes_clients;
    access_ = gate.access;
    admitted_ = std::move(gate.admitted);
    canary_ = std::move(gate.canary);
}

shard::~shard() {
    PGSLUICE_ASSERT(sessions_.empty());
}

void shard::stop_listening() {
    worker_.stop_listening();
}

void shard::enter(session& s) {
    sessions_.emplace(s.id(), &s);
    changed();
}

void shard::leave(session& s) {
    ended_.sum.add(s.counted());
    sessions_.erase(s.id());
    changed();
}

void shard::give_turn_back() noexcept {
    PGSLUICE_ASSERT(turns_taken_ > 0);
    --turns_taken_;
    changed();
}

void shard::count_switched(bool lost) noexcept {
    ++(lost ? lost_ : switched_);
    if (lost) {
        shard_counters::bump(counters().sessions_lost);
    }
    changed();
}

const std::vector<std::string>& shard::custom_names() {
    shared_.names_since(names_version_, names_);
    return names_;
}

void shard::learn(std::string_view name) {
    if (!std::binary_search(names_.begin(), names_.end(), name)) {
        shared_.learn(name);
        shared_.names_since(names_version_, names_);
    }
}

void shard::accept(int client, const endpoint& from, const std::shared_ptr<const entrance>& in) {
    shard_counters::bump(counters().clients_accepted);
    if (!shared_.try_greet(settings_->max_connections + strangers_spare)) {
        shard_counters::bump(counters().clients_refused);
        ::close(client);
        return;
    }
    auto s = std::make_unique<session>(*this, worker_.next_session_id(), client, from);
    s->come_in_by(in);
    launch(std::move(s), worker_.loop());
}

void shard::take_over(session& arrived) {
    shard_counters::bump(counters().clients_accepted);
    if (!shared_.try_greet(settings_->max_connections + strangers_spare)) {
        shard_counters::bump(counters().clients_refused);
        return;
    }
    launch(std::make_unique<session>(*this, arrived), worker_.loop());
}

session* shard::find(session_id id) const {
    const auto found = sessions_.find(id);
    return found == sessions_.end() ? nullptr : found->second;
}

void shard::for_each(const std::function<void(session&)>& visit) {
    // A visit may end a session only through the reactor's queue, never at once.
    for (const auto& [id, s] : sessions_) {
        visit(*s);
    }
}

void shard::close_gate() {
    gate_open_ = false;
    to_release_.clear();
    for_each([](session& s) { s.gate_closed(); });
    changed();
}

std::size_t shard::drain(const drain_filter& which, const farewell& last_words) {
    drains_ = true;
    std::size_t found = 0;
    for_each([&](session& s) { found += s.drain(which, last_words) ? 1 : 0; });
    changed();
    return found;
}

void shard::end_drain() {
    drains_ = false;
    for_each([](session& s) { s.end_drain(); });
    changed();
}

std::size_t shard::reconnect() {
    reconnects_ = true;
    begin_moves();
    std::size_t found = 0;
    for_each([&](session& s) { found += s.reconnect() ? 1 : 0; });
    changed();
    return found;
}

/// By commands beside the orders, which have their own beginning.
void shard::begin_moves() {
    if (!order_) {
        pace_.reset();
        known_types_.clear();  // some may have been made anew since
    }
}

void shard::set_canary(std::shared_ptr<const canary_route> to) {
    canary_ = std::move(to);
    canary_rests_until_ = {};
    reconnects_ = strays_ = true;
    begin_moves();
    for_each([](session& s) { s.place_changed(); });
    changed();
}

void shard::force_access(forced_access to) {
    const bool moves_some = restricts() != (to == forced_access::restricted);
    access_ = to;
    guards_ = read_only();
    if (moves_some) {
        reconnects_ = strays_ = true;
        begin_moves();
    }
    for_each([](session& s) { s.place_changed(); });
    changed();
}

void shard::hold_long(milliseconds threshold) {
    const steady_time now = reactor::now();
    if (!std::exchange(holds_long_, true)) {
        holds_long_since_ = now;
    }
    for_each([&](session& s) { s.hold_if_long(now, threshold); });
    changed();
}

void shard::open_gate() {
    if (gate_open_ && !holds_long_) {
        return;
    }
    gate_open_ = true;
    holds_long_ = false;
    to_release_.clear();
    std::vector<session*> opened;
    for_each([&](session& s) {
        s.gate_opened();
        opened.push_back(&s);
    });
    release(std::move(opened));
    changed();
}

void shard::admit(std::shared_ptr<const admission> to) {
    admitted_ = std::move(to);
    std::vector<session*> came_in;
    for_each([&](session& s) {
        if (s.look_up()) {
            came_in.push_back(&s);
        }
    });
    release(std::move(came_in));
    changed();
}

/// Lets them go in turns of the loop, behind those that are still to go.
void shard::release(std::vector<session*> whom) {
    // Taken from the back: those who wait come first, the longest waiting first of all.
    std::sort(whom.begin(), whom.end(), [](const session* a, const session* b) {
        if (a->waits() != b->waits()) {
            return b->waits();
        }
        return a->waits() && a->waiting_since() > b->waiting_since();
    });
    const bool is_under_way = !to_release_.empty();
    std::vector<session_id> ids;
    for (const session* s : whom) {
        ids.push_back(s->id());
    }
    to_release_.insert(to_release_.begin(), ids.begin(), ids.end());
    if (!is_under_way) {
        release_next();
    }
}

void shard::release_next() {
    for (std::size_t n = 0; n < releases_per_turn && !to_release_.empty(); ++n) {
        if (session* const s = find(to_release_.back())) {
            s->go_on();
        }
        to_release_.pop_back();
    }
    if (!to_release_.empty()) {
        boost::asio::post(worker_.loop(), [this] { release_next(); });
    }
}

void shard::give_order(const move_order& order) {
    order_ = order;
    promoted_ = false;
    pace_.reset();
    switched_ = 0;
    lost_ = 0;
    known_types_.clear();
    tidying_ = true;
    for_each([](session& s) {
        if (s.phase() != session_phase::startup && s.phase() != session_phase::held &&
            s.phase() != session_phase::login) {
            s.order_given();
        }
    });
    changed();
}

std::size_t shard::refresh() {
    std::size_t behind = 0;
    for_each([&](session& s) { behind += s.refresh() ? 1 : 0; });
    return behind;
}

void shard::end_order() {
    order_.reset();
    for_each([](session& s) { s.order_ended(); });
    changed();
    publish_now();
}

void shard::hear_out() {
    begin_asking();
}

void shard::mark_promoted() {
    promoted_ = true;
}

void shard::commit(route to, const farewell& to_left_behind) {
    PGSLUICE_ASSERT(!gate_open_);
    route_ = to;
    left_behind_ = to_left_behind;
    for_each([](session& s) {
        if (s.phase() != session_phase::startup && s.phase() != session_phase::held &&
            !s.ending()) {
            s.switch_over();
        }
    });
    changed();
}

std::size_t shard::terminate(std::span<const session_id> ids, const farewell& last_words) {
    std::size_t found = 0;
    for (const session_id id : ids) {
        if (session* const s = find(id)) {
            s->terminate(last_words);
            ++found;
        }
    }
    return found;
}

/// With the gate closed nobody else needs the servers, and everybody waits.
std::uint32_t shard::turns_max() const noexcept {
    return gate_open_ ? pace_.limit(turns_share()) : turns_share();
}

std::uint32_t shard::turns_share() const noexcept {
    return std::max<std::uint32_t>(1, settings_->moves_in_flight / worker_.peer_count());
}

void shard::note_copy(steady_time::duration took) noexcept {
    pace_.finished(took, turns_share());
}

void shard::after_batch() {
    if (order_ || tidying_) {
        hand_out_turns();
    }
    if (reconnects_ && !order_) {
        hand_out_reconnects();
    }
    if (gate_open_ && !retired_.empty() && !dropping_) {
        dropping_ = true;
        boost::asio::co_spawn(worker_.loop(), drop_retired(), [this](std::exception_ptr error) {
            dropping_ = false;
            log_task_end(error);
        });
    }
    if (follows_ && !order_) {
        begin_asking();
    }
    const bool is_watched = !gate_open_ || order_ || holds_long_ || drains_ || guards_ ||
                            reconnects_ || follows_ || strays_;
    if (changed_ && is_watched) {
        publish_now();
    }
}

/// Whoever is at a boundary right now has its turn first: a session in a long transaction would
/// only keep others waiting.
void shard::hand_out_turns() {
    bool left_over = false;
    for (const auto& [id, s] : sessions_) {
        if (turns_taken_ >= turns_max()) {
            return;
        }
        if (s->ending() || s->has_turn()) {
            continue;
        }
        if (order_) {
            const bool held = s->is_held() && s->phase() == session_phase::parked;
            if (s->stage() == move_stage::queued && (held || s->at_rest())) {
                ++turns_taken_;
                s->grant();
            }
        } else if (s->has_private_statements()) {
            left_over = true;
            // One that is not admitted may stay parked for long: it is tidied where it is.
            const bool stays = s->is_held() && s->phase() == session_phase::parked;
            if (gate_open_ && (s->at_rest() || stays)) {
                s->tidy();
            }
        }
    }
    tidying_ = order_ || left_over;
}

/// As turns of an order: who is at a boundary right now comes first.
void shard::hand_out_reconnects() {
    bool left_over = false;
    for (const auto& [id, s] : sessions_) {
        if (s->ending() || !s->awaits_reconnect()) {
            continue;
        }
        left_over = true;
        const bool can_park = s->at_rest() || s->phase() == session_phase::parked;
        if (can_park && !s->has_turn() && turns_taken_ < turns_max()) {
            ++turns_taken_;
            s->grant_reconnect();
        }
    }
    reconnects_ = left_over;
}

}  // namespace pgsluice::proxy
