// How a session is copied to another backend: captured on its leg, replayed on a spare, captured
// there again and compared. Nothing here changes what the client sees; switch.cpp does.

#include "proxy/image/capture.hpp"
#include "proxy/image/image_compare.hpp"
#include "proxy/image/replay.hpp"
#include "proxy/session/host.hpp"
#include "proxy/session/session.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace pgsluice::proxy {

namespace {

constexpr std::chrono::seconds exchange_time{10};  // a capture, a replay: round trips, not work
constexpr std::chrono::seconds spare_login_time{30};
constexpr int capture_attempts_max = 3;

/// Lifting a timeout that the session has not set would itself look like a setting of the session.
bool has_own_timeout(const session_image& image) {
    return std::any_of(image.settings.begin(), image.settings.end(), [](const setting& s) {
        return s.name == "statement_timeout" && s.is_session();
    });
}

std::vector<pin_reason> unready(const std::string& backend, const failure& why) {
    return {
        {std::string(unready_code),
         "backend \"" + backend + "\": " + why.message +
             (why.detail.empty() ? "" : " (" + why.detail + ")")}};
}

/// Class 28 is about who somebody is; anything else may pass.
std::vector<pin_reason> not_let_in(const std::string& backend, const failure& why) {
    std::vector<pin_reason> reasons = unready(backend, why);
    if (why.sqlstate.starts_with("28")) {
        reasons.front().code = to_string(pin_code::credentials);
    }
    return reasons;
}

/// 150020 for "15.20 (Debian 15.20-1)".
int version_number(const leg& l) {
    const std::string_view text = l.reported.find("server_version").value_or("");
    int major = 0;
    int minor = 0;
    const auto* end = text.data() + text.size();
    const auto [dot, error] = std::from_chars(text.data(), end, major);
    if (error == std::errc{} && dot != end && *dot == '.') {
        std::from_chars(dot + 1, end, minor);
    }
    return major * 10000 + minor;
}

std::string
type_key(std::uint32_t backend, const protocol::StartupMessage& startup, const user_type& type) {
    std::string key = std::to_string(backend) + " " + std::string(startup.database());
    return key.append(1, '\0').append(type.schema).append(1, '\0').append(type.name);
}

}  // namespace

wire_knowledge session::what_the_wire_tells() const {
    return {
        .lacks_credentials = lacks_credentials(),
        .is_replication = startup_->wants_replication(),
        .names_incomplete = pump_.tap().names_incomplete(),
        .uses_currval = pump_.tap().uses_currval(),
        .lexing_changed = lexing_changed_,
        .knows_unnamed = !pump_.tap().unnamed_in_doubt(),
        .protocol_uncertain = pump_.state().uncertain()};
}

void session::pin_down(std::vector<pin_reason> why, move_stage as) {
    pins_ = std::move(why);
    stage_ = as;
    release_turn();
    host_.changed();
}

void session::release_turn() noexcept {
    if (std::exchange(has_turn_, false)) {
        host_.give_turn_back();
    }
}

/// The session has its turn and is parked.
task<void> session::capture_for_order() {
    const auto order = host_.order();
    if (lacks_credentials() || startup_->wants_replication()) {
        captured_requests_ = pump_.requests();
        pin_down(
            reasons_of(judge(session_image{}, what_the_wire_tells()).pins), move_stage::pinned
        );
        co_return;
    }
    auto captured = co_await capture();
    if (!order || !host_.order() || host_.order()->id != order->id) {
        release_turn();
        co_return;
    }
    captured_requests_ = pump_.requests();
    if (pump_.end() != pump_end::none || farewell_) {
        release_turn();  // the client left meanwhile: there is nothing to judge any more
        co_return;
    }
    if (!captured) {
        pin_down(
            one_reason(pin_code::capture_failed, captured.error().message), move_stage::pinned
        );
        co_return;
    }
    image_ = std::move(*captured);
    const verdict v = judge(*image_, what_the_wire_tells());
    if (!v.is_movable()) {
        pin_down(reasons_of(v.pins), move_stage::pinned);
    } else if (spare_is_current()) {
        pin_down({}, move_stage::prepared);
    } else {
        start_building();
    }
}

bool session::spare_is_current() const {
    return spare_ && !spare_->line->dead && spare_->image == image_ &&
           spare_->unnamed_parse == pump_.tap().unnamed_parse();
}

/// Reads the session's state on its leg, which is lent from the pump meanwhile.
task<result<session_image>> session::capture() {
    pump_.lend_backend();
    in_exchange_ = true;
    const std::string unnamed(pump_.tap().unnamed_parse());
    const auto types = unstable_types(protocol::as_bytes(unnamed));
    capture_options options{
        .custom_names = host_.custom_names(),
        .type_oids = types,
        .is_prepared = has_private_statements_,
        .asks_unnamed = !unnamed.empty() || pump_.tap().unnamed_in_doubt(),
        .asks_currval = host_.settings().pins_defined_currval};
    const stray_message tell = pass_to_client();
    result<session_image> image =
        failure{std::string(sqlstate::internal_error), "no attempt", {}, {}};
    for (int attempt = 0; attempt < capture_attempts_max; ++attempt) {
        const script ask = capture_request(options);
        const steady_time deadline = reactor::now() + exchange_time;
        auto outcome = co_await run_script(*leg_, wait_, ask, deadline, tell);
        if (!outcome) {
            image = outcome.error();
            break;
        }
        has_private_statements_ = true;
        if (outcome->needs_rollback()) {
            const script undo = rollback_request();
            co_await run_script(*leg_, wait_, undo, deadline, tell);
        }
        image = captured_image(*outcome);
        if (capture_needs_parse(*outcome)) {
            options.is_prepared = false;
        } else if (capture_timed_out(*outcome)) {
            options.lifts_timeout = true;
        } else {
            break;
        }
    }
    in_exchange_ = false;
    pump_.give_back(leg_->io, leg_->pid);
    pass_on_early();
    co_return image;
}

void session::start_building() {
    if (spare_ && spare_->line->dead) {
        drop_spare();
    }
    const bool is_whole = !spare_;
    if (is_whole) {
        spare_ = std::make_unique<spare_leg>(host_.home().loop);
    }
    stage_ = move_stage::preparing;
    building_ = true;
    host_.changed();
    const steady_time begun = reactor::now();
    const auto on_end = [this, is_whole, begun](std::exception_ptr error) {
        building_ = false;
        if (is_whole && stage_ == move_stage::prepared) {
            host_.note_copy(reactor::now() - begun);
        }
        if (error) {
            drop_spare();
            pin_down(one_reason(pin_code::capture_failed, "out of memory"), move_stage::unready);
        }
        release_turn();
        host_.changed();
        wait_.notify();
    };
    boost::asio::co_spawn(
        host_.home().loop,
        build_spare(host_.order()->id),
        boost::asio::bind_cancellation_slot(stop_building_.slot(), on_end)
    );
}

/// Runs beside the session's own coroutine. Cancelled, its exchange fails as any may.
task<void> session::build_spare(std::uint64_t order_id) {
    co_await boost::asio::this_coro::throw_if_cancelled(false);
    const std::uint32_t to = host_.order()->to;
    const bool in_recovery = host_.order()->standby && !host_.promoted();
    auto why_not = co_await prepare_spare(*spare_, to, in_recovery);
    if (ending_ || !host_.order() || host_.order()->id != order_id) {
        drop_spare();
        stage_ = host_.order() ? move_stage::queued : move_stage::none;
        co_return;
    }
    if (why_not.empty()) {
        pins_.clear();
        stage_ = move_stage::prepared;
        co_return;
    }
    drop_spare();
    pins_ = std::move(why_not);
    stage_ = move_stage::unready;
}

/// Brings the spare to the state of image_; the reasons why not, or none.
task<std::vector<pin_reason>>
session::prepare_spare(spare_leg& s, std::uint32_t backend, bool in_recovery) {
    const session_image image = *image_;
    if (!s.line->io.is_open()) {
        auto why_not = co_await log_in_spare(s, backend);
        if (!why_not.empty()) {
            co_return why_not;
        }
    }
    const std::string unnamed(
        image.has_unnamed_statement.value_or(false) ? pump_.tap().unnamed_parse() : ""
    );
    s.unnamed_parse = unnamed;
    auto why_not = co_await replay_on(s, image, in_recovery);
    if (why_not.empty()) {
        why_not = co_await verify_spare(s, image);
    }
    if (why_not.empty()) {
        s.image = image;
    }
    co_return why_not;
}

task<std::vector<pin_reason>> session::log_in_spare(spare_leg& s, std::uint32_t backend) {
    const auto settings = host_.settings_snapshot();
    const backend_target& target = settings->backends[backend];
    s.line->backend = backend;
    s.line->preface = preface_for(target);
    const auto opened = co_await open_leg(*s.line, s.point, target, settings->connect_timeout);
    if (!opened) {
        shard_counters::bump(host_.counters().connects_failed);
        co_return unready(target.name, opened.error());
    }
    auto other = stand_in_at(*settings, backend, s.line->is_restricted);
    const protocol::StartupMessage& startup = other ? other->startup : *startup_;
    protocol::credentials& known = other ? other->known : known_;
    const std::string user(startup.user());
    recall_keys(user, backend, known);
    const auto in = co_await log_in(
        *s.line, s.point, startup, known, nullptr, reactor::now() + spare_login_time
    );
    if (!in) {
        co_return not_let_in(target.name, in.error().why);
    }
    keep_keys(user, backend, known);
    co_return std::vector<pin_reason>{};
}

task<std::vector<pin_reason>>
session::replay_on(spare_leg& s, const session_image& image, bool in_recovery) {
    const auto types = co_await map_types(s, image);
    if (!types) {
        co_return one_reason(pin_code::unknown_type, types.error().message);
    }
    const replay_target target{
        .login_user = login_user_of(*s.line),
        .server_version_num = version_number(*s.line),
        .in_recovery = in_recovery,
        .types = &*types,
        .unnamed_parse = protocol::as_bytes(s.unnamed_parse)};
    const steady_time deadline = reactor::now() + exchange_time;
    std::optional<replay_plan> plan;
    if (s.image) {
        plan = plan_delta(*s.image, image, target);
        if (!plan) {
            const script reset = reset_request();
            const auto done = co_await run_script(*s.line, s.point, reset, deadline, ignore_stray);
            s.has_private_statements = false;
            if (!done || done->first_error() != nullptr) {
                co_return one_reason(
                    pin_code::state_differs, "DISCARD ALL failed on the new server"
                );
            }
        }
    }
    s.image.reset();
    if (!plan) {
        auto whole = plan_replay(image, target);
        if (!whole) {
            const bool is_type = whole.error().sqlstate == "42704";
            co_return one_reason(
                is_type ? pin_code::unknown_type : pin_code::sql_prepared, whole.error().message
            );
        }
        plan = std::move(*whole);
    }
    const auto done =
        co_await run_script(*s.line, s.point, plan->before_promotion, deadline, ignore_stray);
    if (!done) {
        co_return unready(host_.settings().backends[s.line->backend].name, done.error());
    }
    if (const script_error* error = done->first_error()) {
        co_return reasons_of({pin_of(*error)});
    }
    s.after_promotion = std::move(plan->after_promotion);
    co_return std::vector<pin_reason>{};
}

/// The OIDs of the image's types on the spare's server, asked for once per backend and database.
task<result<oid_map>> session::map_types(spare_leg& s, const session_image& image) {
    auto& known = host_.known_types();
    const std::uint32_t backend = s.line->backend;
    std::vector<user_type> asked;
    for (const user_type& type : image.types) {
        if (!known.contains(type_key(backend, *startup_, type))) {
            asked.push_back(type);
        }
    }
    if (!asked.empty()) {
        const script ask = type_resolve_request(asked, image.database_encoding);
        const auto outcome = co_await run_script(
            *s.line, s.point, ask, reactor::now() + exchange_time, ignore_stray
        );
        if (!outcome) {
            co_return outcome.error();
        }
        const auto found = resolved_types(asked, *outcome);
        if (!found) {
            co_return found.error();
        }
        for (const user_type& type : *found) {
            known[type_key(backend, *startup_, type)] = type.oid;
        }
    }
    std::vector<user_type> there;
    for (const user_type& type : image.types) {
        const auto found = known.find(type_key(backend, *startup_, type));
        if (found != known.end()) {
            there.push_back({found->second, type.schema, type.name});
        }
    }
    co_return oid_map(image.types, there);
}

task<std::vector<pin_reason>> session::verify_spare(spare_leg& s, const session_image& image) {
    const auto names = capture_names(image);
    const auto types = unstable_types(protocol::as_bytes(s.unnamed_parse));
    const capture_options options{
        .custom_names = names,
        .is_prepared = s.has_private_statements,
        .asks_unnamed = image.has_unnamed_statement.has_value(),
        .lifts_timeout = has_own_timeout(image)};
    const script ask = capture_request(options);
    const auto outcome =
        co_await run_script(*s.line, s.point, ask, reactor::now() + exchange_time, ignore_stray);
    s.has_private_statements = true;
    if (!outcome) {
        co_return unready(host_.settings().backends[s.line->backend].name, outcome.error());
    }
    const auto there = captured_image(*outcome);
    if (!there || outcome->needs_rollback()) {
        co_return one_reason(
            pin_code::capture_failed,
            "the copy could not be read back: " + (there ? "" : there.error().message)
        );
    }
    const comparison compared =
        same_state(image, *there, {.ignores_channels = !s.after_promotion.empty()});
    for (const std::string& warning : compared.warnings) {
        spdlog::debug("defaults differ session={} what=\"{}\"", id_, warning);
    }
    if (compared.is_same()) {
        co_return std::vector<pin_reason>{};
    }
    std::vector<pin_reason> why_not;
    for (const std::string& difference : compared.differences) {
        why_not.push_back({std::string(to_string(pin_code::state_differs)), difference});
    }
    co_return why_not;
}

void session::drop_spare() noexcept {
    if (spare_) {
        static constexpr std::array<std::uint8_t, 5> terminate{'X', 0, 0, 0, 4};
        if (spare_->line->io.is_open()) {
            [[maybe_unused]] const io_result sent = spare_->line->io.send(terminate);
        }
        spare_.reset();
    }
}

}  // namespace pgsluice::proxy
