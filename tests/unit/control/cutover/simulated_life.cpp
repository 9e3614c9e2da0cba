// What the daemon does around a cutover (moves.cpp, daemon.cpp), and what must hold afterwards.
#include "tests/unit/control/cutover/simulated_life.hpp"

#include "control/journal/format.hpp"

#include <algorithm>

namespace pgsluice::control::simulation {

namespace {

/// What the calls of a step may take beyond their limits: each up to 2 ms, and some fsyncs.
constexpr milliseconds grace{1'500};

milliseconds ms(limits::clock::duration time) {
    return std::chrono::duration_cast<milliseconds>(time);
}

/// The longest that the gate may be closed before it is known whether the cutover commits.
milliseconds longest_pause(const cutover_request& asked) {
    milliseconds sum{0};
    bool is_paused = false;
    for (const planned_step& one : make_plan(asked)) {
        is_paused = is_paused || one.name == "drain";
        if (one.name == "commit") {
            break;
        }
        sum += is_paused ? one.deadline : milliseconds{0};
    }
    sum = std::min(sum, asked.timeout);
    return asked.pause_limit.count() > 0 ? std::min(sum, asked.pause_limit) : sum;
}

}  // namespace

life::life(std::uint64_t seed, flaw planted) : real_(seed) {
    bad_.planted = planted;
    dice& random = real_.random;
    real_.is_one_server = planted == flaw::none && random.one_in(10);
    real_.is_physical = !real_.is_one_server && planted != flaw::sequences_behind &&
                        planted != flaw::applies_too_early && random.one_in(3);
    plain_ = random.one_in(2) ? std::nullopt : std::optional<std::string>("off");
    real_.servers[0].auto_conf = real_.servers[1].auto_conf = plain_;
    const boost::json::object first{{"backend", "blue"}, {"generation", 1}};
    disk_.text = encode_record({++disk_.seq, 0, "app", std::string(journal_kinds::route), first});
}

std::vector<std::string> life::run() {
    live();
    return real_.problems;
}

void life::live() {
    start();
    const std::uint64_t operations = 1 + real_.random.below(3);
    for (std::uint64_t i = 0; i < operations && real_.problems.empty(); ++i) {
        good_times();
        prepare_servers();
        proxy_->idle(real_.random.up_to(milliseconds{50}));
        bad_.left = static_cast<int>(real_.random.below(4));
        bad_.calls_left = real_.random.below(70);
        operate();
        good_times();
        check_service();
    }
    good_times();
    restart();
    good_times();
    check_service();
    check_rows();
}

/// No faults, and those that last have passed.
void life::good_times() {
    bad_.left = 0;
    disk_.full_until = {};
    real_.replication.broken_until = {};
    for (server& each : real_.servers) {
        each.down_until = {};
    }
    proxy_->calm_down();
}

/// Where the other server does not follow the route, somebody builds it anew.
void life::prepare_servers() {
    real_.outsider.reset();
    const std::size_t route = real_.truth;
    server& old = real_.servers[route];
    server& next = real_.servers[1 - route];
    link& follows = real_.replication;
    const bool is_followed = follows.is_enabled && follows.from == route && !next.was_promoted;
    if (!is_followed && !real_.is_one_server) {
        next.rows = old.rows;
        next.ids = old.ids;
        next.is_standby = real_.is_physical;
        next.was_promoted = false;
        next.next_id = real_.is_physical ? old.next_id : 1;
        if (real_.is_physical) {
            next.auto_conf = old.auto_conf;
        }
        real_.way_back.reset();
        follows = link{route, 1 - route, true, true, old.rows.size(), {}};
    }
    old.is_standby = false;
}

cutover_request life::draw_request() {
    dice& random = real_.random;
    const auto any = [&](milliseconds most) {
        return milliseconds{1} + random.up_to(most);
    };
    cutover_request asked;
    asked.id = "c" + std::to_string(++number_);
    asked.service = "app";
    asked.from_backend = static_cast<std::uint32_t>(real_.truth);
    asked.to_backend = 1 - asked.from_backend;
    asked.from = asked.from_backend == 0 ? "blue" : "green";
    asked.to = asked.from_backend == 0 ? "green" : "blue";
    asked.replication = real_.is_one_server ? replication_kind::none
                        : real_.is_physical ? replication_kind::physical
                                            : replication_kind::logical;
    asked.retarget = real_.is_one_server && random.one_in(2);
    asked.way_back = asked.replication == replication_kind::logical && random.one_in(2);
    asked.on_pinned = static_cast<pinned_policy>(random.below(3));
    asked.timeout = any(milliseconds{random.one_in(3) ? 3'000 : 60'000});
    asked.drain_timeout = any(milliseconds{5'000});
    asked.catch_up_timeout = any(milliseconds{5'000});
    asked.long_transaction = milliseconds{random.below(3) * 250};
    asked.pause_limit = random.one_in(2) ? milliseconds{0} : any(milliseconds{4'000});
    asked.hold_timeout = any(milliseconds{20'000});
    asked.undo_patience = any(milliseconds{30'000});
    asked.fence = bad_.planted != flaw::none || !random.one_in(8) ? fence_method::default_read_only
                                                                  : fence_method::none;
    asked.prewarm.assign(random.below(2), "ledger");
    asked.has_before = random.one_in(3);
    asked.has_after = random.one_in(3);
    asked.has_abort = random.one_in(3);
    asked.fence_left = fence_left_;
    if (const auto stands = fences_.find(asked.to); stands != fences_.end() && !asked.retarget) {
        asked.to_fence = stands->second;
    }
    return asked;
}

void life::operate() {
    asked_ = draw_request();
    proxy_->aim(asked_.from_backend, asked_.to_backend, asked_.hold_timeout);
    const bool is_fenced_for_all =
        asked_.fence != fence_method::none && !asked_.retarget && !real_.is_one_server;
    real_.outsider.reset();
    if (is_fenced_for_all) {
        real_.outsider = client{.server = asked_.from_backend, .next = real_.now};
    }
    if (real_.random.one_in(6)) {
        real_.clients.front().is_pinned = true;
    }
    is_new_fenced_ = real_.at(asked_.to_backend).is_read_only() && asked_.to_fence.has_value();
    is_lift_told_ = false;
    leaves_way_back_ = real_.way_back.has_value();  // by an earlier one, and told
    real_.may_see_read_only = fence_left_.has_value();
    real_.longest_pause = milliseconds{0};
    began_ = real_.now;
    real_.note("--- " + asked_.from + " -> " + asked_.to);
    try {
        const cutover_report report = run_cutover(asked_, proxy_->doors());
        remember(asked_, report);
        check_report(asked_, report);
        proxy_->settle();
        if (proxy_->stopping) {
            restart();
        }
    } catch (const killed&) {
        ++deaths_;
        restart();
    }
}

/// Until a process has come up and stays; deaths of a recovery come to an end at some time.
void life::restart() {
    for (int tries = 0;; ++tries) {
        bad_.kills = tries < 3;
        bad_.left += bad_.left > 0 && real_.random.one_in(2) ? 1 : 0;
        bad_.calls_left = std::min<std::uint64_t>(bad_.calls_left, real_.random.below(12));
        try {
            start();
            if (!proxy_->stopping) {
                break;
            }
            bad_.left = tries < 3 ? bad_.left : 0;
        } catch (const killed&) {
            ++deaths_;
        }
    }
    bad_.kills = true;
}

/// As journal::open() and daemon::start() do it.
void life::start() {
    real_.note("--- start");
    const auto decoded = decode_journal(disk_.text);
    if (!decoded) {
        real_.problem(decoded.error().message);
        return;
    }
    disk_.text.resize(decoded->valid_bytes);
    disk_.seq = decoded->records.back().seq;
    const auto states = replay(decoded->records);
    if (!states) {
        real_.problem(states.error().message);
        return;
    }
    const journal_record& newest = decoded->records.back();
    if (const auto last = decode_cutover(newest.kind, newest.payload)) {
        hear(last->text);  // `events` shows it, where nobody was left to answer
    }
    const service_state& state = states->at("app");
    real_.truth = index_of(state.backend);
    fences_ = state.fences;
    fence_left_.reset();
    const proxy::route route{
        .backend = static_cast<std::uint32_t>(real_.truth), .generation = state.generation};
    const bool is_unfinished = state.unfinished.has_value();
    const mode initial = is_unfinished ? mode::recovering : mode::serving;
    proxy_ = std::make_unique<world>(real_, disk_, bad_, route, initial);
    real_.restart_clients(real_.truth, !is_unfinished);
    real_.may_see_read_only = false;
    if (is_unfinished) {
        recover(*state.unfinished);
    }
}

void life::recover(const unfinished_cutover& found) {
    cutover_request asked = asked_;
    asked.id = found.begun.id;
    asked.from = found.begun.from;
    asked.to = found.begun.to;
    asked.from_backend = static_cast<std::uint32_t>(index_of(asked.from));
    asked.to_backend = 1 - asked.from_backend;
    asked.retarget = found.begun.retarget;
    asked.fence = found.begun.fence ? fence_method::default_read_only : fence_method::none;
    asked.way_back = found.begun.way_back;
    asked.fence_left.reset();
    proxy_->aim(asked.from_backend, asked.to_backend, asked.hold_timeout);
    real_.longest_pause = milliseconds{0};
    began_ = real_.now;
    const cutover_report report = recover_cutover(found, asked, proxy_->doors());
    remember(asked, report);
    check_report(asked, report);
}

/// As cutover_control::end().
void life::remember(const cutover_request& asked, const cutover_report& report) {
    real_.note("exit " + std::to_string(report.exit_code) + ": " + report.text);
    fence_left_ = report.fence_left;
    real_.may_see_read_only = fence_left_.has_value();
    if (report.fence_stands) {
        fences_[asked.from] = *report.fence_stands;
        fences_.erase(asked.to);
    }
    hear(report.text);
}

/// What an operator is told of that is left.
void life::hear(std::string_view text) {
    const auto says = [text](std::string_view what) {
        return text.find(what) != std::string_view::npos;
    };
    is_lift_told_ = is_lift_told_ || says("is not read-only any more");
    leaves_way_back_ = leaves_way_back_ || says("reverse replication stays") ||
                       says("reverse replication is not running");
}

void life::check_report(const cutover_request& asked, const cutover_report& report) {
    const bool is_forward = report.exit_code == 0 || report.exit_code == 6;
    if (!is_forward && report.exit_code != 1 && report.exit_code != 5) {
        real_.problem("exit code " + std::to_string(report.exit_code));
    }
    if (real_.truth != (is_forward ? asked.to_backend : asked.from_backend)) {
        real_.problem("the answer tells another side than the journal");
    }
    if (proxy_->current_route().backend != real_.truth) {
        real_.problem("sessions are on another side than the journal says");
    }
    if (proxy_->has_order) {
        real_.problem("a move order stands after the end");
    }
    const bool is_serving = real_.is_gate_open && proxy_->current_mode() == mode::serving;
    if (!is_serving && !proxy_->stopping) {
        real_.problem("the gate stays closed, or its mode says so");
    }
    check_times(asked, report);
    if (is_forward) {
        ++commits_;
        check_forward(asked, report);
    } else {
        ++aborts_;
        check_back(asked, report);
    }
}

/// Before the commit point: everything is as it was, or somebody is told what is not.
void life::check_back(const cutover_request& asked, const cutover_report& report) {
    const bool is_left_fenced = report.fence_left || proxy_->stopping;
    const server& old = real_.at(asked.from_backend);
    if (!asked.retarget && old.auto_conf != plain_ && !is_left_fenced) {
        real_.problem(old.name + " is fenced after an abort, and nobody is told");
    }
    if (report.fence_left && report.text.find("STILL REFUSES") == std::string::npos) {
        real_.problem("a fence was left without a word");
    }
    if (real_.way_back && !leaves_way_back_) {
        real_.problem("what was prepared for the way back is left");
    }
}

void life::check_forward(const cutover_request& asked, const cutover_report& report) {
    const server& old = real_.at(asked.from_backend);
    const bool is_fenced =
        !asked.retarget && asked.fence != fence_method::none && !real_.is_one_server;
    // What a restart finishes may be long past, and the old server built anew as a standby.
    const bool may_be_rebuilt = real_.is_physical && proxy_->committed_at == reality::never;
    if (is_fenced && !old.is_read_only() && !may_be_rebuilt) {
        real_.problem(old.name + " accepts writes after the cutover");
    }
    const link& follows = real_.replication;
    if (report.exit_code == 0 && asked.way_back &&
        (follows.from != asked.to_backend || !follows.is_enabled)) {
        real_.problem("done, but reverse replication is not running");
    }
    const bool is_new_following = follows.to == asked.to_backend && follows.is_enabled;
    if (report.exit_code == 0 && is_new_following && !real_.is_one_server) {
        real_.problem("done, but the new server still follows the old one");
    }
}

/// In simulated time: every wait ends at its deadline.
void life::check_times(const cutover_request& asked, const cutover_report& report) {
    const bool is_recovery = report.steps.empty() || report.steps.front().name == "open";
    const milliseconds undo = asked.hold_timeout + milliseconds{2'000};
    const milliseconds before = is_recovery ? milliseconds{0} : longest_pause(asked);
    const milliseconds allowed = std::max(before, asked.hold_timeout) + milliseconds{2'000} + grace;
    if (real_.longest_pause > allowed) {
        real_.problem(
            "the gate was closed for " + std::to_string(real_.longest_pause.count()) +
            " ms, allowed are " + std::to_string(allowed.count())
        );
    }
    if (proxy_->committed_at != reality::never &&
        ms(proxy_->committed_at - began_) > asked.timeout + grace) {
        real_.problem("committed after the timeout");
    }
    milliseconds after = undo + asked.undo_patience + asked.hook_timeout + milliseconds{15'000};
    if (report.exit_code == 0 || report.exit_code == 6) {
        after = asked.unsubscribe_timeout + asked.way_back_timeout + asked.hook_timeout;
    }
    if (ms(real_.now - began_) > asked.timeout + after + 4 * grace) {
        real_.problem("it took " + std::to_string(ms(real_.now - began_).count()) + " ms");
    }
}

/// Without further faults the service serves, on the side that the journal names.
void life::check_service() {
    if (fence_left_) {
        restart();  // as the report's hint says
    }
    const std::size_t before = real_.acknowledged.size();
    proxy_->idle(milliseconds{5'000});
    if (real_.acknowledged.size() <= before) {
        real_.problem("nobody is served");
    }
    const server& route = real_.at(real_.truth);
    if (route.auto_conf != plain_) {
        real_.problem(route.name + " is the route and has another setting than before");
    }
    if (real_.way_back && !leaves_way_back_) {
        real_.problem("what was prepared for a way back is left over");
    }
    const server& other = real_.at(1 - real_.truth);
    if (is_new_fenced_ && asked_.to == other.name && !other.is_read_only() && !is_lift_told_ &&
        !real_.is_one_server) {
        real_.problem(other.name + " was fenced, is not any more, and nobody is told");
    }
}

/// Every acknowledged row is on the route's server, once.
void life::check_rows() {
    std::set<int> keys;
    for (const row& each : real_.at(real_.truth).rows) {
        if (!keys.insert(each.key).second) {
            real_.problem("row " + std::to_string(each.key) + " is there twice");
        }
    }
    for (const int key : real_.acknowledged) {
        if (!keys.contains(key)) {
            real_.problem("row " + std::to_string(key) + " was acknowledged and is lost");
            break;
        }
    }
}

}  // namespace pgsluice::control::simulation
