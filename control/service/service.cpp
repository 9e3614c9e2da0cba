// One operation at a time: taking turns, interrupting the one that runs, pause and resume.
#include "control/service/service.hpp"

#include "control/cutover/steps.hpp"
#include "control/service/report_json.hpp"
#include "control/stages/run.hpp"

#include <boost/json/array.hpp>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdlib>

namespace pgsluice::control {
namespace {

namespace json = boost::json;
using std::chrono::milliseconds;
using clock = limits::clock;

constexpr milliseconds pause_timeout_default{10'000};
constexpr milliseconds progress_every{200};
/// How long sessions that were ended may take to be gone.
constexpr milliseconds termination_grace{10'000};
/// For a stage to be journaled and to take effect.
constexpr milliseconds stage_change_max{5'000};

}  // namespace

service_operations::service_operations(
    surroundings around,
    std::size_t id,
    config_pointer settings,
    mode initial,
    fence_memories fences,
    std::string previous,
    read_only_record read_only,
    step_times times,
    bool takes_clients,
    canary_record canary
)
    : around_(std::move(around)), id_(id), settings_(std::move(settings)),
      fences_(std::move(fences)), times_(std::move(times)), previous_(std::move(previous)),
      read_only_(std::move(read_only)), takes_clients_(takes_clients), canary_(std::move(canary)),
      traffic_(around_.engine, id, settings_->name, initial) {}

service_operations::config_pointer service_operations::settings() const {
    const std::lock_guard guard(mutex_);
    return settings_;
}

// --- turns

service_operations::turn::~turn() {
    if (owner_ == nullptr) {
        return;
    }
    owner_->traffic_.settle();
    const std::lock_guard guard(owner_->mutex_);
    owner_->running_.clear();
    owner_->ended_.notify_all();
}

std::optional<service_operations::turn> service_operations::begin(std::string_view name) {
    std::unique_lock guard(mutex_);
    // It is over in a moment, and nobody who gives a command can know of it.
    ended_.wait_for(guard, stage_change_max, [this] { return running_ != stage_change; });
    if (is_stopping_ || !running_.empty() || is_barred_by_stages(name)) {
        return std::nullopt;
    }
    running_ = name;
    interrupted_.clear();
    aborted_ = false;
    return turn(*this);
}

outcome service_operations::busy() const {
    const std::lock_guard guard(mutex_);
    if (!is_stopping_ && running_.empty() && is_staging_) {
        return outcome::of(exit_code::refused, staging_words());
    }
    if (is_stopping_ || running_.empty()) {
        return outcome::of(
            exit_code::refused,
            "service " + settings_->name +
                (is_stopping_ ? " is shutting down" : " was busy, try again")
        );
    }
    return outcome::of(
        exit_code::refused, "service " + settings_->name + " is busy: a " + running_ + " is running"
    );
}

/// False when nothing was running. Returns when the operation has ended.
bool service_operations::interrupt_and_wait(std::string_view why) {
    std::unique_lock guard(mutex_);
    if (running_.empty()) {
        return false;
    }
    interrupted_ = why;
    aborted_ = true;
    traffic_.interrupt();
    ended_.wait(guard, [this] { return running_.empty(); });
    return true;
}

outcome service_operations::abort(const std::string& by) {
    std::string name;
    {
        const std::lock_guard guard(mutex_);
        name = running_;
    }
    const auto stages = name.empty() || name == stage_change ? stages_under_way() : nullptr;
    if (stages && stages->end("aborted", by)) {
        return outcome::done({{"aborted", "stages"}, {"stages", stages->status()}});
    }
    if (name.empty() || !interrupt_and_wait("abort")) {
        return outcome::of(exit_code::refused, "nothing is running that could be aborted");
    }
    const std::lock_guard guard(mutex_);
    const bool was_move = name == "cutover" || name == "retarget" || name == "rollback";
    if (was_move && cutover_ && cutover_->outcome != "aborted") {
        return outcome::of(
            exit_code::refused, "the " + name + " was past its commit point: " + cutover_->outcome
        );
    }
    return outcome::done({{"aborted", name}});
}

void service_operations::stop() {
    {
        const std::lock_guard guard(mutex_);
        is_stopping_ = true;
        stopping_ = true;
    }
    std::shared_ptr<stages_run> stages;
    {
        const std::lock_guard guard(mutex_);
        stages = stages_;
    }
    if (stages) {
        stages->end("shutdown", "shutdown");
        stages->stop();
    }
    interrupt_and_wait("shutdown");
}

outcome service_operations::apply(
    config_pointer settings, std::shared_ptr<const proxy::service_settings> resolved
) {
    const auto own = begin("reload");
    if (!own) {
        return busy();
    }
    around_.engine.apply(id_, std::move(resolved));
    const std::lock_guard guard(mutex_);
    settings_ = std::move(settings);
    return outcome::done({});
}

bool service_operations::apply_addresses(std::shared_ptr<const proxy::service_settings> resolved) {
    // Under the lock, so that no operation begins meanwhile: it would be refused as busy otherwise.
    const std::lock_guard guard(mutex_);
    if (is_stopping_ || !running_.empty()) {
        return false;
    }
    around_.engine.apply(id_, std::move(resolved));
    return true;
}

// --- journal

result<void> service_operations::append(std::string_view kind, json::object payload) {
    const auto appended = around_.log.append(name(), kind, std::move(payload));
    if (appended) {
        return {};
    }
    spdlog::error("journal_failed kind={} what={}", kind, appended.error().message);
    if (around_.log.is_broken()) {
        // Nobody knows what is on the disk; only a restart reads the truth.
        std::abort();
    }
    return appended.error();
}

/// Opens the gate whatever the journal says: clients that wait for a full disk help nobody. Without
/// the record a restart would begin paused.
void service_operations::reopen(std::string_view why, std::string_view by) {
    json::object record{{"why", why}};
    if (!by.empty()) {
        record["by"] = by;
    }
    (void)append(journal_kinds::resume, std::move(record));
    traffic_.open_gate();
}

// --- pause and resume

outcome service_operations::pause(const request& given, const progress_sink& tell) {
    const auto own = begin("pause");
    if (!own) {
        return busy();
    }
    const bool was_open = traffic_.gate_open();
    if (!was_open && all_parked(traffic_.progress())) {
        return outcome::done({{"gate", "paused"}, {"already", true}});
    }
    if (was_open) {
        auto noted = append(
            journal_kinds::pause,
            {{"on_timeout", given.text("on-timeout", "resume")}, {"by", given.asked_by}}
        );
        if (!noted) {
            return outcome::of(exit_code::failed, noted.error().message);
        }
        traffic_.close_gate();
    }
    return park_all(given, was_open, tell);
}

/// Waits for every session to park, telling how far it is.
outcome
service_operations::park_all(const request& given, bool was_open, const progress_sink& tell) {
    const auto started = clock::now();
    const auto deadline = started + given.duration("timeout", pause_timeout_default);
    while (!aborted_) {
        const auto look = std::min(deadline, clock::now() + progress_every);
        const bool is_parked = traffic_.wait(all_parked, look);
        const proxy::service_progress now = traffic_.progress();
        const auto waited = std::chrono::duration_cast<milliseconds>(clock::now() - started);
        if (is_parked) {
            return stand(
                {{"gate", "paused"},
                 {"parked", now.parked},
                 {"held", now.held},
                 {"waited_ms", waited.count()}}
            );
        }
        if (clock::now() >= deadline && !aborted_) {
            return pause_is_late(given, was_open);
        }
        tell(
            {{"step", "pause"},
             {"text",
              std::to_string(now.parked) + " of " + counted(now.sessions, "session") + " parked"},
             {"elapsed_ms", waited.count()}}
        );
    }
    std::string why;
    {
        const std::lock_guard guard(mutex_);
        why = interrupted_;
    }
    if (was_open || why == "resume") {
        reopen(why);
    }
    return outcome::of(exit_code::failed, "the pause was ended by " + why);
}

/// The pause is complete or was told to stay: from now on it survives a restart.
outcome service_operations::stand(json::object result) {
    if (auto noted = append(journal_kinds::paused, {}); !noted) {
        reopen("journal");
        return outcome::of(exit_code::failed, noted.error().message);
    }
    return outcome::done(std::move(result));
}

outcome service_operations::pause_is_late(const request& given, bool was_open) {
    auto blockers = traffic_.sessions();
    std::erase_if(blockers, [](const auto& each) { return !blocks_drain(each); });
    const std::string policy = given.text("on-timeout", "resume");
    if (policy == "terminate") {
        return end_blockers(blockers, was_open);
    }
    std::string text = counted(blockers.size(), "session") + " did not come to a boundary in time";
    json::object result{{"gate", "draining"}, {"blockers", blockers_json(blockers)}};
    if (policy == "keep") {
        const outcome stands = stand(result);
        return stands.is_done()
                   ? outcome::of(exit_code::deadline, text + "; the gate stays closed", result)
                   : stands;
    }
    if (was_open) {
        reopen("deadline");
        text += "; the gate is open again";
        result["gate"] = gate_word();
    }
    return outcome::of(exit_code::deadline, text, std::move(result));
}

outcome
service_operations::end_blockers(const std::vector<proxy::session_info>& blockers, bool was_open) {
    std::vector<proxy::session_id> ids;
    for (const proxy::session_info& session : blockers) {
        ids.push_back(session.id);
    }
    const proxy::farewell words{
        "57P01",
        "terminating connection due to administrator command",
        "Service \"" + name() +
            "\" is being paused and this session did not come to a boundary "
            "in time.",
        "Reconnect: the connection waits until the pause ends."};
    around_.engine.terminate(id_, ids, words);
    const auto deadline = clock::now() + termination_grace;
    bool is_parked = false;
    while (!is_parked && !aborted_ && clock::now() < deadline) {
        is_parked = traffic_.wait(all_parked, deadline);
    }
    json::object result{{"gate", "paused"}, {"terminated", blockers_json(blockers)}};
    if (is_parked) {
        return stand(std::move(result));
    }
    if (was_open) {
        reopen("deadline");
        result["gate"] = gate_word();
    }
    return outcome::of(
        exit_code::deadline, "sessions that were told to end are still there", std::move(result)
    );
}

outcome service_operations::resume(const std::string& by) {
    {
        std::unique_lock guard(mutex_);
        if (running_ == "pause") {
            guard.unlock();
            interrupt_and_wait("resume");
        }
    }
    const auto own = begin("resume");
    if (!own) {
        return busy();
    }
    const bool was_open = traffic_.gate_open();
    if (!was_open) {
        reopen("resume", by);
    }
    return outcome::done({{"gate", gate_word()}, {"already", was_open}});
}

}  // namespace pgsluice::control
