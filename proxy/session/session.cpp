// A session's way in and out. How it begins is in session_startup.cpp, its login in
// session_login.cpp, what happens at boundaries in hold.cpp, moving in transplant.cpp.
//
//   arrive (find_source -> start_up -> find_service) -> prove_client -> take_place -> pass_gate ->
//   log_in_client
//   -> relay (parks: while_parked) -> wind_up
//
// Whoever wants the console goes another way after start_up: console_session.cpp.

#include "proxy/session/session.hpp"

#include "protocol/wire/messages.hpp"
#include "proxy/session/cancel_registry.hpp"
#include "proxy/session/host.hpp"
#include "proxy/session/refusal.hpp"

#include <spdlog/spdlog.h>

#include <array>
#include <sys/socket.h>
#include <utility>

namespace pgsluice::proxy {

namespace {

constexpr std::chrono::seconds goodbye_time{2};  // for the client to take its last message
constexpr std::size_t goodbye_read_bytes = 1024;

}  // namespace

session::session(session_host& home, session_id id, int client, const endpoint& from)
    : host_(home), id_(id), own_client_(std::make_unique<stream>(home.home().loop)),
      client_(*own_client_), address_(from.text), source_(client_address::of(from)),
      born_(reactor::now()), wait_(home.home().loop),
      pump_(client_, home.home().scratch, *this, *this),
      inside_(home.admitted().set.contains(source_)) {
    client_.adopt(client);
    host_.enter(*this);
}

session::session(session_host& home, session& arrived)
    : host_(home), id_(arrived.id_), own_client_(std::move(arrived.own_client_)),
      client_(*own_client_), address_(arrived.address_), source_(arrived.source_),
      entrance_(arrived.entrance_), born_(arrived.born_), wait_(home.home().loop),
      startup_(std::move(arrived.startup_)), early_(std::move(arrived.early_)),
      pump_(client_, home.home().scratch, *this, *this),
      inside_(home.admitted().set.contains(source_)) {
    host_.enter(*this);
}

session::~session() {
    PGSLUICE_ASSERT(!building_);
    if (has_key_) {
        host_.home().cancels.remove(client_pid_, cancel_secret_);
    }
    leave_newcomers();
    if (stranger_) {
        host_.shared().part();
    }
    if (has_place_) {
        host_.shared().leave();
    }
    if (has_console_place_) {
        host_.shared().close_console();
    }
    host_.leave(*this);
}

task<void> session::run() {
    bool goes_on = false;
    if (startup_) {
        goes_on = co_await join_newcomers();  // another service has read its startup
    } else {
        goes_on = co_await arrive();
    }
    if (!own_client_) {
        co_return;  // another service has it now
    }
    if (goes_on && wants_console()) {
        co_await serve_console();
        goes_on = false;
    }
    if (goes_on) {
        goes_on = co_await prove_client();
    }
    if (goes_on) {
        goes_on = co_await take_place();
    }
    if (goes_on) {
        show_address();
    }
    if (goes_on) {
        goes_on = co_await pass_gate();
    }
    if (goes_on) {
        goes_on = co_await log_in_client();
    }
    if (goes_on) {
        co_await relay();
    }
    co_await wind_up();
}

/// False also when the client has been passed on to the service that it is meant for.
task<bool> session::arrive() {
    bool goes_on = co_await find_source();
    if (goes_on) {
        goes_on = co_await join_newcomers();
    }
    if (goes_on) {
        goes_on = co_await start_up();
    }
    if (goes_on) {
        goes_on = co_await find_service();
    }
    co_return goes_on;
}

task<bool> session::take_place() {
    if (!host_.takes_clients()) {
        shard_counters::bump(host_.counters().clients_refused);
        failure why = refusal::disabled(host_.settings());
        co_await tell_and_close(std::move(why));
        co_return false;
    }
    has_place_ = host_.shared().try_admit(host_.settings().max_connections);
    if (!has_place_) {
        shard_counters::bump(host_.counters().clients_refused);
        failure why = refusal::too_many_clients(host_.settings());
        co_await tell_and_close(std::move(why));
        co_return false;
    }
    stranger_ = false;
    host_.shared().part();
    if (answers_for_client_) {
        leave_newcomers();
    }
    co_return true;
}

task<bool> session::pass_gate() {
    early_phase_ = session_phase::held;
    if (!is_held()) {
        co_return true;
    }
    leave_newcomers();
    host_.changed();
    waiting_since_ = reactor::now();
    const steady_time deadline = waiting_since_ + host_.settings().hold_timeout;
    client_.watch(EPOLLRDHUP, this);
    wake why = wake::event;
    bool waits_on = !is_refused();
    while (waits_on && is_held() && !client_hung_up_ && !farewell_) {
        why = co_await wait_.until(deadline);
        waits_on = why == wake::event && !is_refused();
    }
    client_.unwatch();
    if (farewell_ || client_hung_up_) {
        co_return false;
    }
    if (is_refused()) {
        shard_counters::bump(host_.counters().clients_refused);
        failure no = refusal::not_admitted(host_.settings(), host_.admitted().message);
        co_await tell_and_close(std::move(no));
        co_return false;
    }
    if (is_held()) {
        failure patience_over = refusal::held_too_long(host_.settings(), held_by());
        co_await tell_and_close(std::move(patience_over));
        co_return false;
    }
    host_.count_stall(reactor::now() - waiting_since_);
    co_return true;
}

void session::on_io(std::uint32_t) {
    client_hung_up_ = true;
    client_.unwatch();
    wait_.notify();
}

task<void> session::relay() {
    leave_newcomers();
    early_phase_ = session_phase::idle;
    pump_.set_move_every(host_.settings().move_every);
    pump_.hold_bytes(early_);
    early_ = {};
    if (is_held()) {
        pump_.close();
    }
    if (!is_misplaced() || reconnect_ == reconnect_stage::none) {
        follow_place();  // changed during the login, or that could not be the one it should have
    }
    guard_from_start();
    read_load();
    const std::vector<std::uint8_t> behind_login = std::exchange(leg_->early, {});
    pump_.start(leg_->io, client_pid_, leg_->pid);
    if (!behind_login.empty() && pump_.end() == pump_end::none) {
        pump_.feed_backend(behind_login);
    }
    if (host_.order()) {
        order_given();
    }
    host_.changed();
    while (pump_.end() == pump_end::none && !farewell_) {
        if (pump_.parked()) {
            co_await while_parked();
        } else {
            co_await wait_.until(never);
        }
    }
}

/// The last thing in every life: stop whatever still runs, tell the client why, close politely.
task<void> session::wind_up() {
    ending_ = true;
    release_turn();
    pump_.stop();
    host_.changed();
    if (building_) {
        stop_building_.emit(boost::asio::cancellation_type::terminal);
    }
    while (building_) {
        co_await wait_.until(never);
    }
    spare_.reset();
    const bool was_left_behind =
        switching_ && pump_.end() == pump_end::none && pump_.state().at_boundary();
    const load_side was_on = side();
    if (leg_ && was_left_behind) {
        host_.retire(std::move(leg_));  // its server has the time when the others have moved
    }
    if (pump_.end() == pump_end::backend_gone) {
        host_.count_failure(pump_.backend_said_why() ? "" : "08006", was_on);
    }
    if (leg_ && leg_->io.is_open()) {
        if (farewell_ && pump_.state().ready_owed() > 0) {
            co_await send_cancel(
                host_.home().loop,
                cancel_order::of(*leg_, host_.settings().backends[leg_->backend]),
                reactor::now() + goodbye_time
            );
        }
        if (!pump_.backend_over()) {
            static constexpr std::array<std::uint8_t, 5> terminate{'X', 0, 0, 0, 4};
            [[maybe_unused]] const io_result sent = leg_->io.send(terminate);
        }
        leg_->io.close();
    }
    if (!client_.is_open() || client_hung_up_ || pump_.end() == pump_end::client_gone) {
        co_return;
    }
    if (auto last_words = parting_words()) {
        co_await tell_and_close(std::move(*last_words));
    } else {
        client_.shutdown_send();
    }
}

/// What the client is still to be told, if it can be and does not know yet.
std::optional<failure> session::parting_words() const {
    if (!pump_.may_tell_client() || pump_.client_slow()) {
        return std::nullopt;
    }
    if (farewell_) {
        return farewell_;
    }
    if (pump_.end() == pump_end::client_violation) {
        return refusal::violation(host_.settings(), pump_.violation());
    }
    if (pump_.end() == pump_end::backend_gone && !pump_.backend_said_why()) {
        return refusal::backend_lost(host_.settings(), leg_->backend);
    }
    return std::nullopt;
}

/// A FATAL error as the last message.
task<void> session::tell_and_close(failure why) {
    std::string message = std::exchange(owed_, {});
    protocol::encode_error_response(message, protocol::severity::fatal, why);
    const steady_time deadline = reactor::now() + goodbye_time;
    const io_result r = co_await write_all(client_, wait_, protocol::as_bytes(message), deadline);
    if (!r.done()) {
        client_.shutdown_send();
        client_.close();
        co_return;
    }
    co_await close_politely(deadline);
}

/// Closing a socket with unread bytes would reset it and could destroy what is on its way, so what
/// the client still sends is read away for a moment.
task<void> session::close_politely(steady_time deadline) {
    client_.shutdown_send();
    std::array<std::uint8_t, goodbye_read_bytes> ignored{};
    io_result r;
    while (r.done()) {
        r = co_await read_some(client_, wait_, ignored, deadline);
    }
    client_.close();
}

void session::on_parked() {
    host_.changed();
    wait_.notify();
}

void session::on_pump_end() {
    host_.changed();
    wait_.notify();
}

void session::on_parameter_status(std::string_view name, std::string_view value) {
    client_sees_.set(name, value);
    const bool is_strings = name == "standard_conforming_strings";
    lexing_changed_ = lexing_changed_ || is_strings;
    if (pump_.guarded() && (is_strings || name == "client_encoding")) {
        pump_.read_by(text_rules_now());
    }
}

void session::learn(std::string_view custom_setting) {
    host_.learn(custom_setting);
}

void session::terminate(const farewell& last_words) {
    if (!farewell_) {
        farewell_ = last_words;
        const bool is_login = early_phase_ == session_phase::login;
        if (early_phase_ == session_phase::idle) {
            pump_.stop();
        }
        // Whatever read the startup or the login waits for, on either side, ends now.
        if ((early_phase_ == session_phase::startup || is_login) && client_.is_open()) {
            ::shutdown(client_.fd(), SHUT_RD);
        }
        if (is_login && leg_ && leg_->io.is_open()) {
            ::shutdown(leg_->io.fd(), SHUT_RDWR);
        }
        wait_.notify();
    }
}

session_phase session::phase() const noexcept {
    if (early_phase_ != session_phase::idle) {
        return early_phase_;
    }
    if (pump_.parked()) {
        const bool moving = in_exchange_ || (building_ && stage_ == move_stage::preparing);
        return moving ? session_phase::moving : session_phase::parked;
    }
    if (pump_.state().transaction_status() != 'I') {
        return session_phase::in_transaction;
    }
    return pump_.state().at_boundary() ? session_phase::idle : session_phase::active;
}

bool session::at_rest() const noexcept {
    return early_phase_ == session_phase::idle && pump_.at_rest();
}

bool session::waits() const noexcept {
    return early_phase_ == session_phase::held || (pump_.parked() && pump_.waits());
}

session_info session::info() const {
    const auto now = reactor::now();
    const auto since_ms = [now](steady_time t) {
        return std::chrono::duration_cast<milliseconds>(now - t);
    };
    session_info row;
    row.id = id_;
    row.worker = host_.home().index;
    row.phase = phase();
    row.address = address_;
    row.age = since_ms(born_);
    row.phase_age = since_ms(early_phase_ == session_phase::idle ? pump_.since() : born_);
    row.waits = waits();
    row.is_admitted = inside_;
    row.is_guarded = is_guarded();
    row.is_canary = place_now().is_canary;
    row.is_restricted = leg_ && leg_->is_restricted;
    row.is_encrypted = client_.is_secure();
    row.is_to_reconnect = is_to_reconnect();
    row.is_draining = is_draining() && !farewell_;
    row.moves = moves_;
    row.counted = counted();
    row.query = pump_.tap().last_text();
    row.pins = pins_;
    if (startup_) {
        row.user = startup_->user();
        row.database = startup_->database();
        row.application = startup_->find("application_name").value_or("");
        if (startup_->wants_replication()) {
            const bool is_logical = startup_->find("replication") == "database";
            row.replication = is_logical ? "logical" : "physical";
        }
    }
    if (const auto name = client_sees_.find("application_name")) {
        row.application = *name;
    }
    if (leg_ && early_phase_ == session_phase::idle) {
        row.backend = host_.settings().backends[leg_->backend].name;
        row.backend_pid = leg_->pid;
        row.is_astray = !ending_ && is_elsewhere();
        row.awaits_login = !ending_ && has_other_login();
    }
    return row;
}

}  // namespace pgsluice::proxy
