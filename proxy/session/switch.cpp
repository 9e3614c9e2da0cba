// The last steps of a move, taken when the route has changed (or, for testing.move_every, at once):
// what only the old leg can still tell is carried over, then the spare becomes the leg.

#include "protocol/wire/messages.hpp"
#include "proxy/image/capture.hpp"
#include "proxy/image/lock_counts.hpp"
#include "proxy/session/host.hpp"
#include "proxy/session/session.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace pgsluice::proxy {

namespace {

constexpr std::chrono::seconds old_leg_time{2};  // the old server may be gone: do not wait for it
constexpr std::chrono::seconds new_leg_time{10};

script only_sync() {
    script_builder builder;
    builder.sync();
    return builder.take();
}

/// How many messages at the end of `before` are the ones that `after` begins with.
std::size_t overlap(const std::vector<std::string>& before, const std::vector<std::string>& after) {
    for (std::size_t n = std::min(before.size(), after.size()); n > 0; --n) {
        if (std::equal(
                before.end() - static_cast<std::ptrdiff_t>(n), before.end(), after.begin()
            )) {
            return n;
        }
    }
    return 0;
}

}  // namespace

/// Hands what the backend said on its own during a private exchange to the client.
stray_message session::pass_to_client() {
    return [this](std::uint8_t type, byte_view message) {
        std::vector<std::uint8_t> copy(message.begin(), message.end());
        if (type == protocol::backend::NotificationResponse && copy.size() >= 9 &&
            protocol::load_i32(copy.data() + 5) == leg_->pid) {
            protocol::store_u32(copy.data() + 5, static_cast<std::uint32_t>(client_pid_));
        }
        if (type == protocol::backend::ParameterStatus) {
            const auto status = protocol::decode_parameter_status(message.subspan(5));
            if (status) {
                on_parameter_status(status->name, status->value);
            }
        }
        pump_.tell_client(copy);
    };
}

void session::pass_on_early() {
    const std::vector<std::uint8_t> early = std::exchange(leg_->early, {});
    if (!early.empty() && pump_.end() == pump_end::none) {
        pump_.feed_backend(early);
    }
}

/// After the commit point: over to the spare, or out. What the new server lacks comes first: as
/// soon as all have that, the others go on. What the old one still has to tell is this client's
/// alone.
task<void> session::go_over() {
    if (stage_ != move_stage::settled || !spare_) {
        terminate(host_.left_behind());  // by policy: it was pinned and known to stay behind
        co_return;
    }
    in_exchange_ = true;
    pump_.lend_backend();
    auto done = co_await finish_replay();
    crossing_ = false;
    host_.changed();
    while (asks_old_server() && !may_ask_ && pump_.end() == pump_end::none && !farewell_) {
        co_await wait_.until(never);
    }
    if (done && !has_heard_) {
        co_await carry_notifications(false);
    }
    if (done) {
        done = co_await carry_lock_counts();
    }
    in_exchange_ = false;
    if (!done) {
        pump_.give_back(leg_->io, leg_->pid);
        spdlog::error(
            "session lost after the switch session={} why=\"{}\"", id_, done.error().message
        );
        host_.count_switched(true);
        failure last_words = host_.left_behind();
        last_words.detail = "Its state could not be carried over: " + done.error().message;
        terminate(last_words);
        co_return;
    }
    adopt_spare();
    host_.count_switched(false);
}

bool session::asks_old_server() const noexcept {
    return image_ && ((!has_heard_ && !image_->channels.empty()) || !image_->locks.empty());
}

bool session::waits_to_ask() const noexcept {
    if (ending_ || may_ask_) {
        return false;
    }
    const bool listens = image_ && !has_heard_ && !image_->channels.empty();
    return switching_ ? !crossing_ : listens && stage_ == move_stage::settled;
}

void session::ask_old_server() {
    may_ask_ = true;
    wait_.notify();
}

/// A script on the spare, once others may work on its server. What it hears of them meanwhile is
/// the client's: it stays in `early`, where the next script finds it first and the leg at last.
task<result<script_outcome>> session::run_on_spare(script s) {
    leg& line = *spare_->line;
    std::vector<std::uint8_t> heard;
    const stray_message keep = [&heard](std::uint8_t type, byte_view message) {
        if (type == protocol::backend::NotificationResponse) {
            heard.insert(heard.end(), message.begin(), message.end());
        }
    };
    const steady_time deadline = reactor::now() + new_leg_time;
    auto outcome = co_await run_script(line, spare_->point, s, deadline, keep);
    line.early.insert(line.early.begin(), heard.begin(), heard.end());
    co_return outcome;
}

/// On a server that was a standby: what it would not take before. Of the parameters that servers
/// report only in_hot_standby changes with a promotion, and the server says so with its next
/// ReadyForQuery: nobody has to wait for that.
task<result<void>> session::finish_replay() {
    if (!host_.order() || !host_.order()->standby) {
        co_return result<void>{};
    }
    if (spare_->line->reported.find("in_hot_standby")) {
        spare_->line->reported.set("in_hot_standby", "off");
    }
    if (spare_->after_promotion.empty()) {
        co_return result<void>{};
    }
    const auto outcome = co_await run_on_spare(spare_->after_promotion);
    if (!outcome) {
        co_return outcome.error();
    }
    if (const script_error* error = outcome->first_error()) {
        co_return error->what;
    }
    co_return result<void>{};
}

/// An advisory lock may be held more than once, which only unlocking tells; the replay took each
/// once. When the old server does not answer any more, once is what remains.
task<result<void>> session::carry_lock_counts() {
    if (image_->locks.empty()) {
        co_return result<void>{};
    }
    const script count = count_locks_request(image_->locks);
    const auto counted =
        co_await run_script(*leg_, wait_, count, reactor::now() + old_leg_time, ignore_stray);
    if (!counted) {
        spdlog::warn("lock counts unknown session={} why=\"{}\"", id_, counted.error().message);
        co_return result<void>{};
    }
    auto holds = counted_locks(image_->locks, *counted);
    if (!holds) {
        co_return holds.error();
    }
    for (std::uint32_t& n : *holds) {
        --n;
    }
    if (std::all_of(holds->begin(), holds->end(), [](std::uint32_t n) { return n == 0; })) {
        co_return result<void>{};
    }
    script take = take_locks_request(image_->locks, *holds);
    const auto taken = co_await run_on_spare(std::move(take));
    if (!taken) {
        co_return taken.error();
    }
    if (const script_error* error = taken->first_error()) {
        co_return error->what;
    }
    co_return result<void>{};
}

/// Ahead of the switch: what is left of that afterwards costs the old server nothing any more.
task<void> session::hear_out() {
    may_ask_ = false;
    if (stage_ != move_stage::settled || has_heard_) {
        co_return;
    }
    in_exchange_ = true;
    pump_.lend_backend();
    co_await carry_notifications(false);
    in_exchange_ = false;
    pump_.give_back(leg_->io, leg_->pid);
    pass_on_early();
    has_heard_ = true;
}

/// Notifications that were sent on the old server but not delivered yet. On one and the same server
/// both legs listen for a moment: what both have heard is delivered once.
task<void> session::carry_notifications(bool same_server) {
    if (!image_ || image_->channels.empty()) {
        co_return;
    }
    std::vector<std::string> old_ones;
    std::vector<std::string> new_ones;
    std::vector<std::string>* into = &old_ones;
    const stray_message gather = [&into](std::uint8_t type, byte_view message) {
        if (type == protocol::backend::NotificationResponse) {
            into->emplace_back(protocol::as_text(message));
        }
    };
    const script sync = only_sync();
    const steady_time deadline = reactor::now() + old_leg_time;
    co_await run_script(*leg_, wait_, sync, deadline, gather);
    if (same_server) {
        into = &new_ones;
        co_await run_script(*spare_->line, spare_->point, sync, deadline, gather);
        old_ones.resize(old_ones.size() - overlap(old_ones, new_ones));
    }
    const stray_message tell = pass_to_client();
    for (const auto* list : {&old_ones, &new_ones}) {
        for (const std::string& message : *list) {
            tell(protocol::backend::NotificationResponse, protocol::as_bytes(message));
        }
    }
}

/// The spare becomes the leg, the pump goes on with it, and the client hears of every parameter
/// that has another value there.
void session::adopt_spare() {
    static constexpr std::array<std::uint8_t, 5> terminate{'X', 0, 0, 0, 4};
    if (switching_) {
        host_.retire(std::move(leg_));
    } else {
        [[maybe_unused]] const io_result sent = leg_->io.send(terminate);
    }
    spare_->line->io.unwatch();
    leg_ = std::move(spare_->line);
    has_private_statements_ = spare_->has_private_statements;
    spare_.reset();
    image_.reset();
    stage_ = host_.order() ? move_stage::switched : move_stage::none;
    switching_ = may_ask_ = has_heard_ = false;
    reconnect_ = reconnect_stage::none;
    strays_ = false;
    pins_.clear();
    ++moves_;
    shard_counters::bump(host_.counters().sessions_moved);
    pump_.give_back(leg_->io, leg_->pid);
    read_load();
    std::string changes;
    leg_->reported.for_each([&](std::string_view name, std::string_view value) {
        if (client_sees_.find(name) != value) {
            protocol::encode_parameter_status(changes, name, value);
            client_sees_.set(name, value);
        }
    });
    if (!changes.empty()) {
        pump_.tell_client(protocol::as_bytes(changes));
    }
    pass_on_early();
}

task<void> session::close_private_statements() {
    if (!has_private_statements_ || pump_.is_inside_backend_message()) {
        co_return;  // what waits for the rest of a message is tidied another time
    }
    has_private_statements_ = false;
    pump_.lend_backend();
    in_exchange_ = true;
    const script close = close_request();
    const stray_message tell = pass_to_client();
    co_await run_script(*leg_, wait_, close, reactor::now() + new_leg_time, tell);
    in_exchange_ = false;
    pump_.give_back(leg_->io, leg_->pid);
    pass_on_early();
}

}  // namespace pgsluice::proxy
