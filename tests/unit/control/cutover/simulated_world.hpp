#pragma once

#include "control/cutover/runner.hpp"
#include "control/journal/service_state.hpp"
#include "control/records/cutover_json.hpp"
#include "control/service/gated_traffic.hpp"
#include "tests/unit/control/cutover/simulated_reality.hpp"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace pgsluice::control::simulation {

/// A kill -9 of the proxy.
struct killed {};

/// What a world can do wrong by itself, so that the simulation can be seen to find it.
enum class flaw : std::uint8_t {
    none,
    fence_leaks,        ///< says that it is up, and is not
    sequences_behind,   ///< says that they are copied
    applies_too_early,  ///< says that the marker was reached
    forgets_records,    ///< an append that is on no disk
    unfence_lies,
};

/// What happens at one call of the world.
enum class fate : std::uint8_t {
    nothing,
    fails,         ///< before any effect
    loses_answer,  ///< after its effect
    hangs,         ///< until its deadline or an abort; with or without the effect
    server_down,   ///< for a while
    breaks_link,   ///< replication stands still for a while
    aborts,        ///< the operator
    aborts_later,  ///< at any instant after
    stops,         ///< SIGTERM
    kills_before,
    kills_after,
    kills_later,
    disk_full,  ///< for a while: no record can be written
};
inline constexpr std::size_t fates = 13;

/// The journal's bytes, and how many calls it takes until the next fault.
struct disk {
    std::string text{};
    std::uint64_t seq = 0;
    time_point full_until{};
};

struct misfortune {
    std::uint64_t calls_left = 0;
    int left = 0;       ///< faults still to come
    bool kills = true;  ///< false while a recovery has to come to an end
    flaw planted = flaw::none;
};

/// The four doors of one process of the proxy, in front of a reality with faults.
class world final : public gated_traffic, public server_pair, public chronicle, public audience {
public:
    world(reality& real, disk& journal, misfortune& bad, proxy::route at, mode initial)
        : gated_traffic("app", initial), real_(real), disk_(journal), bad_(bad), route_(at) {}

    cutover_world doors() { return {*this, *this, *this, *this, aborted, stopping}; }
    /// Which servers the next operation is about.
    void aim(std::size_t from, std::size_t to, milliseconds hold_timeout) {
        hold_timeout_ = hold_timeout;
        from_ = from;
        to_ = to;
        aborted = false;
        is_new_read_only_ = false;
        abort_at_ = kill_at_ = reality::never;
        committed_at = reality::never;
    }
    /// Plans of faults for a moment end with the operation.
    void calm_down() { abort_at_ = kill_at_ = reality::never; }
    void idle(milliseconds time) { pass(real_.now + time, nullptr); }

    std::atomic<bool> aborted{false};
    std::atomic<bool> stopping{false};
    bool has_order = false;
    time_point committed_at = reality::never;

    // --- traffic
    void hold_long(milliseconds) override {
        const bool kills_after = strike("hold_long");
        for (client& each : real_.clients) {
            each.was_busy_at_hold = each.was_busy_at_hold || each.is_working;
        }
        real_.holds_long = true;
        end(kills_after);
    }
    void admit(proxy::admission) override {}
    void set_read_only(bool) override {}
    bool gate_open() const override { return real_.is_gate_open; }
    proxy::service_progress progress() const override;
    std::vector<proxy::session_info> sessions() override;
    proxy::route current_route() const override { return route_; }
    void count_stalls_anew() override {}
    proxy::stall_histogram stalls() const override { return {}; }
    void order_move(proxy::move_order) override {
        const bool kills_after = strike("order_move");
        has_order = true;
        prepared_at_ = real_.now + real_.random.up_to(milliseconds{30});
        end(kills_after);
    }
    std::size_t refresh_move() override {
        const bool kills_after = strike("refresh_move");
        prepared_at_ = real_.now + real_.random.up_to(milliseconds{10});
        end(kills_after);
        return 1;
    }
    void cancel_move() override {
        const bool kills_after = strike("cancel_move");
        has_order = false;
        end(kills_after);
    }
    void hear_out() override {}
    void mark_promoted() override {}
    void learn_custom_settings(std::span<const std::string>) override {}
    std::vector<std::int32_t> backend_pids(std::uint32_t) override { return {1, 2, 3, 4}; }

    // --- server_pair
    step_result<std::vector<check_row>> preflight(const preflight_expectations&, limits) override;
    step_result<std::vector<std::string>>
    custom_settings(std::span<const std::string>, limits until) override {
        auto ok = ask("custom_settings", &from(), until, [] {});
        return ok ? step_result<std::vector<std::string>>({}) : ok.error();
    }
    step_result<std::string> prewarm(limits until) override {
        auto ok = ask("prewarm", &to(), until, [] {});
        const bool is_aborted = !ok && ok.error().why == setback::aborted;
        return is_aborted ? ok.error() : step_result<std::string>("as far as it got");
    }
    step_result<void> prepare(limits until) override {
        return ask("prepare", &from(), until, [] {});
    }
    step_result<std::vector<reading>> readings(limits) override { return std::vector<reading>{}; }
    bool same_server() const override { return real_.is_one_server; }
    bool is_new_read_only() const override { return is_new_read_only_; }
    step_result<fence_memory> read_fence(limits until) override {
        fence_memory memory;
        auto ok = ask("read_fence", &from(), until, [&] { memory.auto_conf = from().auto_conf; });
        return ok ? step_result<fence_memory>(memory) : ok.error();
    }
    step_result<std::string>
    fence(const fence_memory&, const std::function<std::vector<std::int32_t>()>&, limits) override;
    void let_go() override {}
    step_result<void> unfence(const fence_memory& memory, limits until) override {
        return ask("unfence", &from(), until, [&] {
            if (bad_.planted != flaw::unfence_lies) {
                from().auto_conf = memory.auto_conf;
            }
        });
    }
    step_result<std::string> lift(const fence_memory& memory, limits until) override {
        auto ok = ask("lift", &to(), until, [&] { to().auto_conf = memory.auto_conf; });
        return ok ? step_result<std::string>("lifted") : ok.error();
    }
    step_result<void> undo_lift(const fence_memory&, limits until) override {
        return ask("undo_lift", &to(), until, [&] { to().auto_conf = "on"; });
    }
    step_result<lsn> mark(std::string_view, limits until) override {
        lsn marker = 0;
        auto ok = ask("mark", &from(), until, [&] { marker = from().rows.size(); });
        return ok ? step_result<lsn>(marker) : ok.error();
    }
    step_result<void> catch_up(lsn marker, limits until) override;
    step_result<std::string> copy_sequences(limits until) override {
        auto ok = ask("sequences", &to(), until, [&] {
            if (bad_.planted != flaw::sequences_behind) {
                to().next_id = std::max(to().next_id, from().next_id);
            }
        });
        return ok ? step_result<std::string>("copied") : ok.error();
    }
    step_result<void> promote(limits until) override {
        return ask("promote", &to(), until, [&] {
            real_.replicate(100'000);
            real_.replication.is_enabled = false;
            to().is_standby = false;
            to().was_promoted = true;
        });
    }
    step_result<void> verify(limits) override;
    step_result<void> unsubscribe(limits until) override {
        return ask("unsubscribe", &to(), until, [&] {
            // After follow_back() it is the other one's subscription.
            const bool is_there = real_.replication.to == to_;
            real_.replication.is_enabled = real_.replication.is_enabled && !is_there;
        });
    }
    step_result<void> prepare_way_back(limits until) override {
        return ask("prepare_way_back", &to(), until, [&] {
            real_.way_back = link{to_, from_, true, false, to().rows.size(), {}};
        });
    }
    step_result<void> mark_way_back(limits until) override {
        return ask("mark_way_back", &to(), until, [&] { real_.way_back->at = to().rows.size(); });
    }
    step_result<void> follow_back(limits) override;
    step_result<void> undo_way_back(limits until) override {
        return ask("undo_way_back", &to(), until, [&] { real_.way_back.reset(); });
    }
    step_result<void> run_hook(hook_kind, std::string_view, limits until) override {
        return ask("hook", nullptr, until, [] {});
    }

    // --- chronicle and audience
    step_result<void> append(const cutover_record& record) override;
    void show(const step_progress&) override {}
    step_result<void> fault(std::string_view point) override;

private:
    void close_now() override {
        const bool kills_after = strike("close_gate");
        real_.set_gate(false);
        settled_at_ = real_.now + real_.random.up_to(milliseconds{20});
        end(kills_after);
    }
    void open_now() override {
        const bool kills_after = strike("open_gate");
        expect_writable_route();
        real_.set_gate(true);
        end(kills_after);
    }
    /// Only a server that did not answer for hold.timeout may meet its clients with a fence.
    void expect_writable_route() {
        if (!real_.at(real_.truth).is_read_only()) {
            return;
        }
        if (!real_.may_see_read_only && real_.now < real_.closed_at + hold_timeout_) {
            real_.problem("the gate opens with the fence up");
        }
        real_.may_see_read_only = true;
    }
    bool wait_now(
        const std::function<bool(const proxy::service_progress&)>& done, time_point deadline
    ) override;
    void switch_now(proxy::route to, const proxy::farewell&) override;

    server& from() { return real_.at(from_); }
    server& to() { return real_.at(to_); }

    fate draw(std::string_view name);
    bool strike(std::string_view name);
    void end(bool kills_after) const {
        if (kills_after) {
            throw killed{};
        }
    }
    void interrupt() {
        aborted = true;
        interrupted_ = true;
    }
    void pass(time_point end, const limits* until);
    step_result<void>
    ask(std::string_view name, server* on, limits until, const std::function<void()>& effect);
    void begin_fault(fate what, server* on);
    step_failure hang(limits until);
    void write(const journal_record& record);

    reality& real_;
    disk& disk_;
    misfortune& bad_;
    proxy::route route_;
    std::size_t from_ = 0;
    std::size_t to_ = 1;
    milliseconds hold_timeout_{0};
    bool is_new_read_only_ = false;
    bool interrupted_ = false;
    std::uint32_t switched_ = 0;
    time_point abort_at_ = reality::never;
    time_point kill_at_ = reality::never;
    time_point prepared_at_{};
    time_point settled_at_{};
};

}  // namespace pgsluice::control::simulation
