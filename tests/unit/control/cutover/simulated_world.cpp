// How the simulated doors behave, with and without a fault.
#include "tests/unit/control/cutover/simulated_world.hpp"

#include "control/journal/format.hpp"

#include <algorithm>

namespace pgsluice::control::simulation {

namespace {

step_failure refused(std::string_view name) {
    return {setback::failed, std::string(name) + " has failed", "", {}};
}

/// What a wait that ended at its limits says.
step_failure over(const limits& until) {
    if (until.stopped()) {
        return {setback::aborted, "aborted by the operator", "", {}};
    }
    return {setback::deadline, "too late", "", {}};
}

bool is_over(const limits& until) {
    return until.stopped() || until.passed();
}

bool kills(fate what) {
    return what == fate::kills_before || what == fate::kills_after || what == fate::kills_later;
}

}  // namespace

/// Time goes on; an abort or a death that was planned for a moment comes then.
void world::pass(time_point end, const limits* until) {
    while (real_.now < end) {
        const auto stride =
            std::max<limits::clock::duration>(milliseconds{50}, (end - real_.now) / 50);
        real_.advance_to(std::min({end, real_.now + stride, abort_at_, kill_at_}));
        if (real_.now >= kill_at_) {
            real_.note("killed");
            throw killed{};
        }
        if (real_.now >= abort_at_) {
            real_.note("abort");
            abort_at_ = reality::never;
            interrupt();
        }
        if (until != nullptr && until->stopped()) {
            return;
        }
    }
}

fate world::draw(std::string_view name) {
    real_.note(std::string(name));
    if (bad_.left == 0) {
        return fate::nothing;
    }
    if (bad_.calls_left > 0) {
        --bad_.calls_left;
        return fate::nothing;
    }
    --bad_.left;
    bad_.calls_left = real_.random.below(real_.random.one_in(2) ? 8 : 40);
    const auto what = static_cast<fate>(1 + real_.random.below(fates - 1));
    if (kills(what) && !bad_.kills) {
        return fate::nothing;
    }
    real_.note("FAULT " + std::to_string(static_cast<int>(what)));
    return what;
}

/// What does not depend on the call that it meets.
void world::begin_fault(fate what, server* on) {
    dice& random = real_.random;
    const auto a_while = [&](milliseconds usual, milliseconds most) {
        return real_.now + random.up_to(random.one_in(3) ? most : usual);
    };
    switch (what) {
    case fate::aborts:
        interrupt();
        break;
    case fate::stops:
        stopping = true;
        interrupt();
        break;
    case fate::aborts_later:
        abort_at_ = a_while(milliseconds{100}, milliseconds{5'000});
        break;
    case fate::kills_later:
        kill_at_ = a_while(milliseconds{100}, milliseconds{5'000});
        break;
    case fate::server_down:
        (on == nullptr ? from() : *on).down_until =
            a_while(milliseconds{2'000}, milliseconds{100'000});
        break;
    case fate::breaks_link:
        real_.replication.broken_until = a_while(milliseconds{1'000}, milliseconds{60'000});
        break;
    case fate::disk_full:
        disk_.full_until = a_while(milliseconds{100}, milliseconds{60'000});
        break;
    case fate::kills_before:
        real_.note("killed before");
        throw killed{};
    default:
        break;
    }
}

bool world::strike(std::string_view name) {
    const fate what = draw(name);
    begin_fault(what, nullptr);
    return what == fate::kills_after;
}

step_failure world::hang(limits until) {
    pass(until.deadline, &until);
    return over(until);
}

step_result<void>
world::ask(std::string_view name, server* on, limits until, const std::function<void()>& effect) {
    const fate what = draw(name);
    begin_fault(what, on);
    pass(real_.now + real_.random.up_to(milliseconds{2}), &until);
    if (is_over(until)) {
        return over(until);
    }
    if (on != nullptr && real_.now < on->down_until) {
        if (real_.random.one_in(2)) {
            pass(std::min(until.deadline, on->down_until), &until);
        }
        return is_over(until) ? over(until) : refused(name);
    }
    if (what == fate::fails) {
        return refused(name);
    }
    if (what == fate::hangs) {
        if (real_.random.one_in(2)) {
            effect();
        }
        return hang(until);
    }
    effect();
    if (what == fate::kills_after) {
        real_.note("killed after");
        throw killed{};
    }
    if (what == fate::loses_answer) {
        return refused(name);
    }
    return {};
}

step_result<void> world::fault(std::string_view point) {
    const fate what = draw(point);
    begin_fault(what, nullptr);
    end(what == fate::kills_after);
    if (what == fate::fails) {
        return refused(point);
    }
    return {};
}

void world::write(const journal_record& record) {
    disk_.text += encode_record(record);
    disk_.seq = record.seq;
    const auto decoded = decode_journal(disk_.text);
    const auto states =
        decoded ? replay(decoded->records) : result<service_states>(decoded.error());
    if (!states) {
        real_.problem(states.error().message);
        return;
    }
    real_.truth = states->at("app").backend == "blue" ? 0 : 1;
}

step_result<void> world::append(const cutover_record& record) {
    const fate what = draw("record " + std::string(to_string(record.kind)));
    journal_record line{disk_.seq + 1, 0, "app", journal_kind(record.kind), encode_cutover(record)};
    if (what == fate::kills_before && real_.random.one_in(2)) {
        const std::string bytes = encode_record(line);
        disk_.text += bytes.substr(0, real_.random.below(bytes.size()));
        real_.note("killed within a record");
        throw killed{};
    }
    begin_fault(what, nullptr);
    pass(real_.now + real_.random.up_to(milliseconds{what == fate::hangs ? 300 : 3}), nullptr);
    if (what == fate::fails || real_.now < disk_.full_until) {
        return refused("the journal");
    }
    if (bad_.planted != flaw::forgets_records || record.kind != record_kind::committed) {
        write(line);
    }
    if (record.kind == record_kind::committed) {
        committed_at = real_.now;
    }
    // One that cannot tell whether it is on disk ends the process: also those that lose the answer.
    end(what == fate::kills_after || (what == fate::loses_answer && bad_.kills));
    return {};
}

proxy::service_progress world::progress() const {
    proxy::service_progress p;
    for (const client& one : real_.clients) {
        const bool is_settled = one.is_parked && has_order && !real_.is_gate_open &&
                                real_.now >= settled_at_ && real_.now >= prepared_at_;
        ++p.sessions;
        p.parked += one.is_parked ? 1 : 0;
        p.long_running += real_.holds_long && one.is_working && one.was_busy_at_hold ? 1 : 0;
        p.preparing += has_order && real_.now < prepared_at_ ? 1 : 0;
        p.prepared += has_order && real_.now >= prepared_at_ ? 1 : 0;
        p.settled += is_settled && !one.is_pinned ? 1 : 0;
        p.pinned += is_settled && one.is_pinned ? 1 : 0;
    }
    p.switched = switched_;
    return p;
}

std::vector<proxy::session_info> world::sessions() {
    std::vector<proxy::session_info> rows;
    for (const client& one : real_.clients) {
        proxy::session_info row;
        row.id = rows.size();
        row.database = "app";
        row.phase = one.is_parked    ? proxy::session_phase::parked
                    : one.is_working ? proxy::session_phase::in_transaction
                                     : proxy::session_phase::idle;
        row.phase_age = std::chrono::duration_cast<milliseconds>(real_.now - one.since);
        if (one.is_pinned) {
            row.pins = {{"temp", "temporary table t"}};
        }
        rows.push_back(std::move(row));
    }
    return rows;
}

bool world::wait_now(
    const std::function<bool(const proxy::service_progress&)>& done, time_point deadline
) {
    limits::clock::duration stride = milliseconds{1};
    while (true) {
        if (done(progress())) {
            return true;
        }
        if (interrupted_ || real_.now >= deadline) {
            interrupted_ = false;
            return false;
        }
        pass(std::min(deadline, real_.now + stride), nullptr);
        const limits::clock::duration longest = (deadline - real_.now) / 50;
        stride = std::min<limits::clock::duration>(stride * 3 / 2, longest + milliseconds{20});
    }
}

void world::switch_now(proxy::route to, const proxy::farewell&) {
    const bool kills_after = strike("commit_move");
    if (real_.truth != to.backend) {
        real_.problem("sessions are moved without a commit record");
    }
    switched_ = 0;
    for (client& one : real_.clients) {
        if (!one.is_parked) {
            real_.problem("a session is moved in the middle of its work");
        }
        switched_ += one.is_pinned ? 0 : 1;
        one.is_pinned = false;
        one.server = to.backend;
    }
    route_ = to;
    has_order = false;
    this->to().was_promoted = false;
    end(kills_after);
}

step_result<std::vector<check_row>>
world::preflight(const preflight_expectations& expected, limits until) {
    std::vector<check_row> rows{{"login", check_level::ok, "", ""}};
    const auto complain = [&rows](std::string_view name) {
        rows.push_back({std::string(name), check_level::error, "planted", ""});
    };
    auto ok = ask("preflight", &to(), until, [&] {
        is_new_read_only_ = to().is_read_only();
        if (is_new_read_only_ && !real_.is_one_server && !expected.to_fence) {
            complain("read-only");
        }
        if (to().is_standby != real_.is_physical) {
            complain("new-server");
        }
        const bool is_followed = real_.replication.is_enabled && real_.replication.to == to_;
        if (!is_followed && !real_.is_one_server) {
            complain("subscription");
        }
    });
    return ok ? step_result<std::vector<check_row>>(rows) : ok.error();
}

step_result<std::string> world::fence(
    const fence_memory&, const std::function<std::vector<std::int32_t>()>& ours, limits until
) {
    auto ok = ask("fence", &from(), until, [&] {
        if (ours().empty()) {
            real_.problem("the fence would end the proxy's own sessions");
        }
        if (bad_.planted == flaw::fence_leaks) {
            return;
        }
        from().auto_conf = "on";
        if (real_.outsider && real_.outsider->server == from_) {
            real_.outsider->is_working = false;  // its connection is ended
        }
    });
    return ok ? step_result<std::string>("fenced") : ok.error();
}

step_result<void> world::catch_up(lsn marker, limits until) {
    auto ok = ask("catch_up", &to(), until, [] {});
    while (ok && real_.replication.at < marker && bad_.planted != flaw::applies_too_early) {
        if (is_over(until)) {
            return over(until);
        }
        pass(real_.now + milliseconds{3}, &until);
    }
    return ok;
}

step_result<void> world::verify(limits until) {
    bool is_writable = false;
    auto ok = ask("verify", &to(), until, [&] {
        is_writable = !to().is_standby && (real_.is_one_server || !to().is_read_only());
    });
    return !ok || is_writable ? ok : refused("verify");
}

step_result<void> world::follow_back(limits until) {
    return ask("follow_back", &from(), until, [&] {
        if (real_.way_back) {
            real_.replication = *real_.way_back;
            real_.replication.is_enabled = true;
            real_.way_back.reset();
        }
    });
}

}  // namespace pgsluice::control::simulation
