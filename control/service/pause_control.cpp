// `pause` and `resume`: the gate closes, every session parks, and the gate opens again.
#include "control/service/pause_control.hpp"

#include "control/base/words.hpp"
#include "control/cutover/steps.hpp"
#include "control/journal/service_state.hpp"
#include "control/service/report_json.hpp"

#include <boost/json/array.hpp>

#include <algorithm>

namespace pgsluice::control {
namespace {

namespace json = boost::json;
using std::chrono::milliseconds;
using clock = limits::clock;

constexpr milliseconds pause_timeout_default{10'000};
constexpr milliseconds progress_every{200};
/// How long sessions that were ended may take to disconnect.
constexpr milliseconds termination_grace{10'000};

}  // namespace

outcome pause_control::pause(const request& given, const progress_sink& tell) {
    const auto own = core_.lock.begin(operation::pause);
    if (!own) {
        return core_.lock.busy();
    }
    const bool was_open = core_.traffic.gate_open();
    if (!was_open && all_parked(core_.traffic.progress())) {
        return outcome::done({{"gate", "paused"}, {"already", true}});
    }
    if (was_open) {
        auto noted = core_.append(
            journal_kinds::pause,
            {{"on_timeout", given.text("on-timeout", "resume")}, {"by", given.asked_by}}
        );
        if (!noted) {
            return outcome::of(exit_code::failed, noted.error().message);
        }
        core_.traffic.close_gate();
    }
    return park_all(given, was_open, tell);
}

/// Waits for every session to park, telling how far it is.
outcome pause_control::park_all(const request& given, bool was_open, const progress_sink& tell) {
    const auto started = clock::now();
    const auto deadline = started + given.duration("timeout", pause_timeout_default);
    while (!core_.aborted()) {
        const auto look = std::min(deadline, clock::now() + progress_every);
        const bool is_parked = core_.traffic.wait(all_parked, look);
        const proxy::service_progress now = core_.traffic.progress();
        const auto waited = std::chrono::duration_cast<milliseconds>(clock::now() - started);
        if (is_parked) {
            return stand(
                {{"gate", "paused"},
                 {"parked", now.parked},
                 {"held", now.held},
                 {"waited_ms", waited.count()}}
            );
        }
        if (clock::now() >= deadline && !core_.aborted()) {
            return is_late(given, was_open);
        }
        tell(
            {{"step", "pause"},
             {"text",
              std::to_string(now.parked) + " of " + counted(now.sessions, "session") + " parked"},
             {"elapsed_ms", waited.count()}}
        );
    }
    const std::string why = core_.lock.interrupted();
    if (was_open || why == "resume") {
        core_.reopen(why);
    }
    return outcome::of(exit_code::failed, "the pause was ended by " + why);
}

/// The pause is complete or was told to stay: from now on it survives a restart.
outcome pause_control::stand(json::object result) {
    if (auto noted = core_.append(journal_kinds::paused, {}); !noted) {
        core_.reopen("journal");
        return outcome::of(exit_code::failed, noted.error().message);
    }
    return outcome::done(std::move(result));
}

outcome pause_control::is_late(const request& given, bool was_open) {
    auto blockers = core_.traffic.sessions();
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
        core_.reopen("deadline");
        text += "; the gate is open again";
        result["gate"] = core_.gate_word();
    }
    return outcome::of(exit_code::deadline, text, std::move(result));
}

outcome
pause_control::end_blockers(const std::vector<proxy::session_info>& blockers, bool was_open) {
    std::vector<proxy::session_id> ids;
    for (const proxy::session_info& session : blockers) {
        ids.push_back(session.id);
    }
    const proxy::farewell words{
        "57P01",
        "terminating connection due to administrator command",
        "Service \"" + core_.name() +
            "\" is being paused and this session did not come to a boundary "
            "in time.",
        "Reconnect: the connection waits until the pause ends."};
    core_.engine.terminate(core_.id, ids, words);
    const auto deadline = clock::now() + termination_grace;
    bool is_parked = false;
    while (!is_parked && !core_.aborted() && clock::now() < deadline) {
        is_parked = core_.traffic.wait(all_parked, deadline);
    }
    json::object result{{"gate", "paused"}, {"terminated", blockers_json(blockers)}};
    if (is_parked) {
        return stand(std::move(result));
    }
    if (was_open) {
        core_.reopen("deadline");
        result["gate"] = core_.gate_word();
    }
    return outcome::of(
        exit_code::deadline, "sessions that were told to end are still there", std::move(result)
    );
}

outcome pause_control::resume(const std::string& by) {
    core_.lock.interrupt_and_wait("resume", operation::pause);
    const auto own = core_.lock.begin(operation::resume);
    if (!own) {
        return core_.lock.busy();
    }
    const bool was_open = core_.traffic.gate_open();
    if (!was_open) {
        core_.reopen("resume", by);
    }
    return outcome::done({{"gate", core_.gate_word()}, {"already", was_open}});
}

}  // namespace pgsluice::control
