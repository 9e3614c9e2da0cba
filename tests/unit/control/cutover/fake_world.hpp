#pragma once

#include "control/cutover/runner.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace pgsluice::control {

/// A cutover's four doors without a server: every call is written to one list, in order, and any
/// call can be made to fail.
class fake_world : public traffic, public server_pair, public chronicle, public audience {
public:
    std::vector<std::string> calls;
    std::vector<cutover_record> records;
    std::vector<step_progress> shown;

    /// Calls (by their name in `calls`) that fail, and how often; -1 for ever.
    std::map<std::string, int> failing;
    /// Calls that take their time.
    std::map<std::string, std::chrono::milliseconds> slow;
    /// A fault point or call at which the operator says stop.
    std::string abort_at;

    proxy::service_progress now{.sessions = 3, .parked = 3, .prepared = 3, .settled = 3};
    /// What progress() says from each further drain on; for the policy "wait".
    std::deque<proxy::service_progress> later;
    std::vector<proxy::session_info> rows;
    bool open = true;
    bool one_server = false;
    bool fenced = false;
    bool never_parks = false;
    int looks_for_long = 0;  ///< how often hold_long() finds a session that still works
    int held_back = 0;
    std::vector<check_row> checks{{"login", check_level::ok, "both answer", ""}};
    std::atomic<bool> aborted{false};
    std::atomic<bool> stopping{false};

    cutover_world world() { return {*this, *this, *this, *this, aborted, stopping}; }

    // --- traffic
    void hold_long(std::chrono::milliseconds) override {
        log("hold_long");
        held_back = 1;
        now.long_running = looks_for_long > 0 ? 1 : 0;
        looks_for_long -= looks_for_long > 0 ? 1 : 0;
    }
    void close_gate() override {
        log("close_gate");
        open = false;
    }
    void open_gate() override {
        log("open_gate");
        EXPECT_FALSE(fenced && !fence_may_stay) << "clients would get 25006";
        open = true;
        held_back = 0;
        if (!later.empty()) {
            now = later.front();
            later.pop_front();
            rows.clear();
        }
    }
    void admit(proxy::admission who) override {
        log("admit");
        EXPECT_FALSE(open) << "or somebody outside slips through";
        EXPECT_EQ(records.back().admit, who) << "journaled before";
        admitted = std::move(who);
    }
    void set_read_only(bool on) override {
        log("set_read_only");
        EXPECT_FALSE(open) << "or somebody writes before";
        EXPECT_TRUE(records.back().read_only) << "journaled before";
        read_only = on;
    }
    proxy::admission admitted{};
    bool read_only = false;
    bool fence_may_stay = false;  ///< the old server is unreachable, or no longer the truth
    bool gate_open() const override { return open; }
    proxy::service_progress progress() const override { return now; }
    std::vector<proxy::session_info> sessions() override { return rows; }
    proxy::route current_route() const override { return {.backend = 0, .generation = 7}; }
    proxy::stall_histogram stalled{};
    bool counts_stalls = false;
    void count_stalls_anew() override { counts_stalls = true; }
    proxy::stall_histogram stalls() const override { return stalled; }
    bool wait(
        const std::function<bool(const proxy::service_progress&)>& done, limits::clock::time_point
    ) override {
        return !never_parks && done(now);
    }
    void order_move(proxy::move_order order) override {
        log(order.standby ? "order_move standby" : "order_move");
    }
    std::size_t refresh_move() override {
        log("refresh_move");
        return behind;
    }
    std::size_t behind = 0;
    void cancel_move() override { log("cancel_move"); }
    void hear_out() override { EXPECT_TRUE(fenced) << "or more may come"; }
    void mark_promoted() override { log("mark_promoted"); }
    void commit_move(proxy::route to, const proxy::farewell& farewell) override {
        log("commit_move " + std::to_string(to.backend) + " " + std::to_string(to.generation));
        EXPECT_EQ(farewell.sqlstate, "57P01");
        EXPECT_FALSE(open);
        fence_may_stay = true;
        now.switched = now.settled;
    }
    void learn_custom_settings(std::span<const std::string> names) override {
        learned.assign(names.begin(), names.end());
    }
    std::vector<std::string> learned;
    std::vector<std::int32_t> backend_pids(std::uint32_t) override { return {11, 12}; }

    // --- server_pair
    step_result<std::vector<check_row>> preflight(const preflight_expectations&, limits) override {
        if (auto ok = call("preflight"); !ok) {
            return ok.error();
        }
        return checks;
    }
    step_result<std::vector<std::string>>
    custom_settings(std::span<const std::string>, limits) override {
        return std::vector<std::string>{"app.tenant"};
    }
    step_result<std::string> prewarm(limits) override {
        if (auto ok = call("prewarm"); !ok) {
            return ok.error();
        }
        return std::string("2 of 2 relations");
    }
    step_result<void> prepare(limits) override { return {}; }
    step_result<std::vector<reading>> readings(limits) override {
        return std::vector<reading>{{"lag", "0 bytes"}};
    }
    bool same_server() const override { return one_server; }
    bool is_new_read_only() const override { return new_read_only; }
    bool new_read_only = false;
    step_result<fence_memory> read_fence(limits) override { return fence_memory{"off"}; }
    step_result<std::string> fence(
        const fence_memory& memory, const std::function<std::vector<std::int32_t>()>& ours, limits
    ) override {
        EXPECT_EQ(ours().size(), 2U);
        EXPECT_TRUE(!records.empty() && records.back().fence == memory) << "journaled before";
        fenced = true;
        if (auto ok = call("fence"); !ok) {
            return ok.error();
        }
        return std::string("2 sessions ended");
    }
    void let_go() override {}
    step_result<void> unfence(const fence_memory& memory, limits) override {
        EXPECT_EQ(memory.auto_conf, "off");
        auto ok = call("unfence");
        fenced = ok ? false : fenced;
        return ok;
    }
    step_result<std::string> lift(const fence_memory& memory, limits) override {
        EXPECT_EQ(memory.auto_conf, "false");
        EXPECT_TRUE(!records.empty() && records.back().to_fence == memory) << "journaled before";
        lifted = true;
        if (auto ok = call("lift"); !ok) {
            return ok.error();
        }
        return std::string("writable again");
    }
    step_result<void> undo_lift(const fence_memory& memory, limits) override {
        EXPECT_EQ(memory.auto_conf, "false");
        auto ok = call("undo_lift");
        lifted = ok ? false : lifted;
        return ok;
    }
    bool lifted = false;
    step_result<lsn> mark(std::string_view, limits) override {
        if (auto ok = call("mark"); !ok) {
            return ok.error();
        }
        return lsn{0x16B374D848};
    }
    step_result<void> catch_up(lsn marker, limits) override {
        EXPECT_EQ(marker, 0x16B374D848U);
        return call("catch_up");
    }
    step_result<std::string> copy_sequences(limits) override {
        if (auto ok = call("sequences"); !ok) {
            return ok.error();
        }
        return std::string("1 of 2 sequences set");
    }
    step_result<void> promote(limits) override { return call("promote"); }
    step_result<void> verify(limits) override { return call("verify"); }
    step_result<void> unsubscribe(limits) override { return call("unsubscribe"); }
    step_result<void> prepare_way_back(limits) override {
        EXPECT_TRUE(!records.empty() && records.back().way_back) << "journaled before";
        back_prepared = true;
        return call("prepare_way_back");
    }
    step_result<void> mark_way_back(limits) override { return call("mark_way_back"); }
    step_result<void> follow_back(limits) override { return call("follow_back"); }
    step_result<void> undo_way_back(limits) override {
        auto ok = call("undo_way_back");
        back_prepared = ok ? false : back_prepared;
        return ok;
    }
    bool back_prepared = false;
    step_result<void> run_hook(hook_kind which, std::string_view text, limits) override {
        hook_text = text;
        return call(
            which == hook_kind::before  ? "before"
            : which == hook_kind::after ? "after"
                                        : "on abort"
        );
    }
    std::string hook_text;

    // --- chronicle
    step_result<void> append(const cutover_record& record) override {
        auto ok = call("record " + std::string(to_string(record.kind)));
        if (ok) {
            records.push_back(record);
        }
        return ok;
    }

    // --- audience
    void show(const step_progress& progress) override { shown.push_back(progress); }
    step_result<void> fault(std::string_view point) override {
        stop_here(std::string(point));
        auto at = failing.find(std::string(point));
        if (at == failing.end()) {
            return {};
        }
        return step_failure{setback::failed, "fault at " + std::string(point), "", {}};
    }

private:
    void log(std::string what) {
        calls.push_back(what);
        stop_here(what);
    }
    void stop_here(const std::string& what) {
        if (what == abort_at) {
            aborted = true;
        }
    }
    step_result<void> call(const std::string& what) {
        log(what);
        if (const auto takes = slow.find(what); takes != slow.end()) {
            std::this_thread::sleep_for(takes->second);
        }
        auto at = failing.find(what);
        if (at == failing.end() || at->second == 0) {
            return {};
        }
        --at->second;
        return step_failure{setback::failed, what + " was told to fail", "", {}};
    }
};

// --- what the tests ask for and look at

inline cutover_request asked(replication_kind replication) {
    cutover_request request;
    request.id = "c1";
    request.service = "app";
    request.from = "blue";
    request.to = "green";
    request.to_backend = 1;
    request.replication = replication;
    request.hold_timeout = std::chrono::milliseconds{50};
    request.undo_interval = std::chrono::milliseconds{1};
    request.undo_patience = std::chrono::milliseconds{5};
    request.drain_timeout = std::chrono::milliseconds{1};
    return request;
}

inline cutover_request retarget() {
    cutover_request request = asked(replication_kind::logical);
    request.retarget = true;
    return request;
}

inline proxy::session_info pinned_session() {
    proxy::session_info session;
    session.id = 4;
    session.user = "carol";
    session.phase = proxy::session_phase::parked;
    session.pins = {{"temp", "temporary table t"}};
    return session;
}

inline std::vector<std::string> kinds(const fake_world& fake) {
    std::vector<std::string> names;
    for (const cutover_record& record : fake.records) {
        names.emplace_back(to_string(record.kind));
    }
    return names;
}

/// Whatever happened before the commit point: nobody is held, nothing is fenced, nothing ordered.
inline void expect_as_before(const fake_world& fake, const cutover_report& report) {
    EXPECT_EQ(report.exit_code, 1) << report.text;
    EXPECT_EQ(report.outcome, "aborted");
    EXPECT_TRUE(fake.open);
    EXPECT_FALSE(fake.fenced);
    const auto count = [&fake](std::string_view name) {
        return std::count(fake.calls.begin(), fake.calls.end(), name);
    };
    EXPECT_EQ(count("order_move") + count("order_move standby"), count("cancel_move"));
    EXPECT_EQ(fake.held_back, 0) << "the long ones were forgotten";
    EXPECT_THAT(fake.calls, testing::Not(testing::Contains(testing::HasSubstr("commit_move"))));
    EXPECT_THAT(report.text, testing::HasSubstr("back on blue"));
    if (!fake.records.empty()) {
        EXPECT_EQ(fake.records.back().kind, record_kind::aborted);
    }
}

}  // namespace pgsluice::control
