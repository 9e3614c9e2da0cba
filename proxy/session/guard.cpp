// Forced read-only: how a session gets its guard and loses it, both at a boundary.

#include "protocol/wire/messages.hpp"
#include "proxy/image/capture.hpp"
#include "proxy/session/host.hpp"
#include "proxy/session/refusal.hpp"
#include "proxy/session/session.hpp"

#include <spdlog/spdlog.h>

namespace pgsluice::proxy {

namespace {

constexpr std::chrono::seconds exchange_time{10};
constexpr std::string_view statement_name = "pgsluice.prepared";
constexpr std::string_view statements_text =
    "SELECT name, statement FROM pg_catalog.pg_prepared_statements "
    "WHERE name NOT LIKE 'pgsluice.%'";

script_step step(script_item item = script_item::protocol) {
    script_step s;
    s.item = item;
    s.label = "read-only";
    return s;
}

void run_once(script_builder& out, std::string_view text, script_item item) {
    out.close_statement(statement_name);
    out.parse(step(), statement_name, text);
    out.run(step(item), statement_name);
    out.close_statement(statement_name);
}

/// The session's prepared statements, protocol and SQL alike. A serializable deferrable default
/// would wait for a safe snapshot.
script statements_request() {
    script_builder builder;
    run_once(builder, "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY", script_item::protocol);
    run_once(builder, statements_text, script_item::question);
    run_once(builder, "COMMIT", script_item::protocol);
    builder.sync();
    return builder.take();
}

}  // namespace

bool session::must_be_guarded() const noexcept {
    if (!leg_) {
        return host_.read_only();
    }
    const bool is_kept_by_login = host_.restricts() && leg_->is_restricted;
    return leg_->is_read_only || (host_.read_only() && !is_kept_by_login);
}

bool session::guard_due() const noexcept {
    return early_phase_ == session_phase::idle && !ending_ &&
           pump_.guarded() != must_be_guarded() && (!pump_.guarded() || pump_.may_unguard());
}

protocol::text_rules session::text_rules_now() const {
    return protocol::text_rules::of(
        client_sees_.find("standard_conforming_strings").value_or(""),
        client_sees_.find("client_encoding").value_or("")
    );
}

std::unique_ptr<protocol::read_only_guard> session::new_guard() const {
    protocol::guard_words words{host_.settings().name};
    if (!host_.read_only()) {
        words.end = "sluicectl canary off";
    }
    return std::make_unique<protocol::read_only_guard>(std::move(words), text_rules_now());
}

/// A session that begins read-only has prepared nothing yet.
void session::guard_from_start() {
    if (!must_be_guarded()) {
        return;
    }
    if (startup_->wants_replication()) {
        terminate(refusal::no_replication(host_.settings()));
    } else {
        pump_.set_guard(new_guard());
    }
}

/// The session is parked.
task<void> session::change_guard() {
    if (pump_.guarded()) {
        co_await give_unnamed_back();
        if (!must_be_guarded()) {
            pump_.set_guard(nullptr);
        }
        host_.changed();
        co_return;
    }
    if (startup_->wants_replication()) {
        terminate(refusal::no_replication(host_.settings()));
        co_return;
    }
    auto guard = new_guard();
    const bool is_complete = co_await tell_guard_statements(*guard);
    if (!is_complete) {
        guard->is_told_nothing();
    }
    if (must_be_guarded()) {
        pump_.set_guard(std::move(guard));
    }
    host_.changed();
}

/// A private exchange while parked.
task<result<script_outcome>> session::ask_backend(script ask) {
    pump_.lend_backend();
    in_exchange_ = true;
    const stray_message tell = pass_to_client();
    const steady_time deadline = reactor::now() + exchange_time;
    auto outcome = co_await run_script(*leg_, wait_, ask, deadline, tell);
    if (outcome && outcome->needs_rollback()) {
        const script undo = rollback_request();
        co_await run_script(*leg_, wait_, undo, deadline, tell);
    }
    in_exchange_ = false;
    pump_.give_back(leg_->io, leg_->pid);
    pass_on_early();
    co_return outcome;
}

/// The client finds its unnamed statement where it was, or none, whatever the guard has put there.
/// Should the server not take it any more, it would not run it either.
task<void> session::give_unnamed_back() {
    if (!pump_.guard()->has_taken_unnamed()) {
        co_return;
    }
    const std::string body = pump_.guard()->unnamed_parse();
    script_builder builder;
    if (body.empty()) {
        builder.close_statement("");
    } else {
        builder.parse_body(step(script_item::unnamed_statement), protocol::as_bytes(body));
    }
    builder.sync();
    script ask = builder.take();
    const auto outcome = co_await ask_backend(std::move(ask));
    if (!outcome || outcome->first_error() != nullptr) {
        spdlog::warn("unnamed statement lost session={}", id_);
    }
}

/// What the session can run without sending its text again. False if that remains unknown.
task<bool> session::tell_guard_statements(protocol::read_only_guard& guard) {
    if (pump_.tap().unnamed_in_doubt()) {
        guard.distrusts_unnamed();
    } else if (!pump_.tap().unnamed_parse().empty()) {
        guard.knows_unnamed(protocol::as_bytes(pump_.tap().unnamed_parse()));
    }
    script ask = statements_request();
    const auto outcome = co_await ask_backend(std::move(ask));
    if (!outcome || outcome->first_error() != nullptr) {
        spdlog::warn("prepared statements unknown session={}", id_);
        co_return false;
    }
    for (const script_row& row : outcome->rows) {
        if (row.columns.size() == 2 && row.columns[0] && row.columns[1]) {
            guard.knows(*row.columns[0], *row.columns[1]);
        }
    }
    co_return true;
}

}  // namespace pgsluice::proxy
