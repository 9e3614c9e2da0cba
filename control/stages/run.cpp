// A run of stages: readings in, orders of the machine out.
#include "control/stages/run.hpp"

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

namespace pgsluice::control {
namespace {

namespace json = boost::json;
using clock = limits::clock;
using std::chrono::milliseconds;

constexpr milliseconds look_every{200};
/// A guard that fails and passes in turns is in the journal so often, and in the log each time.
constexpr milliseconds hold_noted_every{5'000};

std::vector<milliseconds> dwells_of(const stages_plan& plan) {
    std::vector<milliseconds> dwells;
    for (const stage_config& each : plan.stages) {
        dwells.push_back(each.dwell.value_or(milliseconds{0}));
    }
    return dwells;
}

milliseconds look_back_of(const stages_plan& plan) {
    milliseconds longest{0};
    for (const stage_config& each : plan.stages) {
        for (const guard_config& guard : each.guards) {
            longest = std::max(longest, guard.over);
        }
    }
    return longest;
}

std::int64_t ms_since(clock::time_point start) {
    return std::chrono::duration_cast<milliseconds>(clock::now() - start).count();
}

}  // namespace

stages_run::stages_run(stages_plan plan, std::unique_ptr<staged_service> service, std::string by)
    : plan_(std::move(plan)), service_(std::move(service)), by_(std::move(by)),
      machine_(dwells_of(plan_)), meter_(look_back_of(plan_)) {}

stages_run::~stages_run() {
    stop();
}

void stages_run::begin(const service_reading& before) {
    const std::lock_guard lock(mutex_);
    machine_.carried_out({order::what::advance, 1, {}}, clock::now());
    meter_.begin_stage(1, before);
    ++entries_;
}

void stages_run::start_thread() {
    thread_ = std::thread([this] {
        while (!stopped_) {
            look();
            std::unique_lock lock(mutex_);
            changed_.wait_for(lock, look_every, [this] { return stopped_.load(); });
        }
        service_->let_go();
    });
}

void stages_run::stop() {
    {
        const std::lock_guard lock(mutex_);
        stopped_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) {
        thread_.join();
    }
}

// --- looking

const std::vector<guard_config>& stages_run::guards_locked() const {
    static const std::vector<guard_config> none;
    return machine_.stage() == 0 ? none : plan_.stages[machine_.stage() - 1].guards;
}

/// Without the lock: whoever gives commands does not wait for a server.
void stages_run::ask_probes(const std::vector<guard_config>& guards, std::size_t entries) {
    for (std::size_t i = 0; i < guards.size() && !stopped_; ++i) {
        const auto now = clock::now();
        {
            const std::lock_guard lock(mutex_);
            const auto last = answers_.find(i);
            const bool is_due = last == answers_.end() || now - last->second.at >= guards[i].every;
            if (!guards[i].is_probe() || !is_due) {
                continue;
            }
        }
        guard_verdict found = service_->probe(guards[i], stopped_);
        const std::lock_guard lock(mutex_);
        if (entries == entries_ && !stopped_) {
            answers_[i] = {now, std::move(found)};
        }
    }
}

std::vector<guard_verdict> stages_run::judge_locked() const {
    const auto& guards = guards_locked();
    std::vector<guard_verdict> verdicts;
    for (std::size_t i = 0; i < guards.size(); ++i) {
        const auto asked = answers_.find(i);
        verdicts.push_back(
            asked == answers_.end() ? meter_.judge(guards[i]) : asked->second.verdict
        );
    }
    return verdicts;
}

void stages_run::look() {
    std::vector<guard_config> guards;
    std::size_t entries = 0;
    {
        const std::lock_guard lock(mutex_);
        guards = guards_locked();
        entries = entries_;
    }
    ask_probes(guards, entries);
    service_reading now = service_->read();
    const std::lock_guard lock(mutex_);
    if (!outcome_.empty() || stopped_ || entries != entries_) {
        return;
    }
    const bool gate_open = now.gate_open;
    meter_.add(std::move(now));
    const stage_state before = machine_.state();
    const order todo = machine_.look(clock::now(), judge_locked(), gate_open);
    note_hold_locked(before);
    trouble_.clear();
    if (auto done = carry_out_locked(todo, by_); !done) {
        trouble_ = done.error().message;
    }
}

void stages_run::note_hold_locked(stage_state before) {
    if (machine_.state() == before) {
        return;
    }
    spdlog::info(
        "stages state={} stage={} of={} why=\"{}\"",
        to_string(machine_.state()),
        machine_.stage(),
        machine_.stages(),
        machine_.why()
    );
    const auto now = clock::now();
    if (machine_.state() == stage_state::held && now - noted_ >= hold_noted_every) {
        noted_ = now;
        service_->note("held", {{"stage", machine_.stage()}, {"why", machine_.why()}});
    }
}

result<void> stages_run::carry_out_locked(const order& todo, const std::string& by) {
    if (todo.todo == order::what::nothing) {
        return {};
    }
    if (todo.todo == order::what::finish) {
        machine_.carried_out(todo, clock::now());
        finish_locked("done", by);
        return {};
    }
    const service_reading before = service_->read();
    auto entered = service_->enter({todo.stage, machine_.stages(), by, todo.why});
    if (!entered) {
        return entered;
    }
    machine_.carried_out(todo, clock::now());
    meter_.begin_stage(todo.stage, before);
    answers_.clear();
    ++entries_;
    noted_ = {};
    return {};
}

void stages_run::finish_locked(std::string_view how, const std::string& by) {
    machine_.end();
    outcome_ = how;
    service_->note(
        "over",
        {{"outcome", how}, {"stage", machine_.stage()}, {"of", machine_.stages()}, {"by", by}}
    );
    stopped_ = true;
    changed_.notify_all();
}

// --- commands

outcome stages_run::refused_as_over_locked() const {
    return outcome::of(exit_code::refused, "the stages are over: " + outcome_);
}

std::string stages_run::place_locked() const {
    return fmt::format("stage {} of {}", machine_.stage(), machine_.stages());
}

outcome stages_run::answer_locked() const {
    return outcome::done({{"stages", status_locked()}});
}

outcome stages_run::pause(const std::string& by) {
    const std::lock_guard lock(mutex_);
    if (!outcome_.empty()) {
        return refused_as_over_locked();
    }
    if (!machine_.pause()) {
        return outcome::of(
            exit_code::refused,
            "the stages have stopped already: " + std::string(to_string(machine_.state()))
        );
    }
    service_->note("paused", {{"stage", machine_.stage()}, {"by", by}});
    return answer_locked();
}

outcome stages_run::resume(const std::string& by) {
    const std::lock_guard lock(mutex_);
    if (!outcome_.empty()) {
        return refused_as_over_locked();
    }
    if (!machine_.resume()) {
        const std::string& why = machine_.why();
        return outcome::of(
            exit_code::refused,
            "the stages were not paused" +
                (why.empty() ? "" : "; " + place_locked() + " is held, --skip goes on: " + why)
        );
    }
    service_->note("resumed", {{"stage", machine_.stage()}, {"by", by}});
    // What was seen while it stood still is not held against it.
    meter_.begin_stage(machine_.stage(), service_->read());
    answers_.clear();
    ++entries_;
    return answer_locked();
}

outcome stages_run::skip(const std::string& by) {
    const std::lock_guard lock(mutex_);
    if (!outcome_.empty()) {
        return refused_as_over_locked();
    }
    if (auto done = carry_out_locked(*machine_.skip(), by); !done) {
        return outcome::of(exit_code::refused, done.error().message);
    }
    return answer_locked();
}

bool stages_run::end(std::string_view how, const std::string& by) {
    const std::lock_guard lock(mutex_);
    if (!outcome_.empty()) {
        return false;
    }
    finish_locked(how, by);
    return true;
}

// --- showing

bool stages_run::is_over() const {
    const std::lock_guard lock(mutex_);
    return !outcome_.empty();
}

std::size_t stages_run::stage() const {
    const std::lock_guard lock(mutex_);
    return machine_.stage();
}

json::object stages_run::status() const {
    const std::lock_guard lock(mutex_);
    return status_locked();
}

json::object stages_run::status_locked() const {
    const auto left = machine_.dwell() - std::min(machine_.dwell(), machine_.dwelt());
    json::object fields{
        {"what", to_string(plan_.what)},
        {"state", to_string(machine_.state())},
        {"stage", machine_.stage()},
        {"of", machine_.stages()},
        {"since_ms", ms_since(machine_.since())},
        {"left_ms", left.count()},
        {"why", trouble_.empty() ? machine_.why() : trouble_},
        {"by", by_},
        {"outcome", outcome_.empty() ? json::value(nullptr) : json::value(outcome_)}};
    json::array rows;
    const auto& guards = guards_locked();
    const auto verdicts = judge_locked();
    for (std::size_t i = 0; i < guards.size() && outcome_.empty(); ++i) {
        rows.push_back(
            {{"passes", verdicts[i].is_ok},
             {"on_fail", verdicts[i].on_fail == guard_policy::hold ? "hold" : "fall_back"},
             {"guard", verdicts[i].text}}
        );
    }
    fields["guards"] = std::move(rows);
    return fields;
}

}  // namespace pgsluice::control
