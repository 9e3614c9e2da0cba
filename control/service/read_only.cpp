// Forced read-only: the command, what status tells of it, and what a restart has to finish. Each
// change is in the journal before it takes effect:
//
//   on    entering -> guards, drain, fence -> on       a crash in between, a deadline: off
//   off   leaving -> fence down, guards away -> off    a crash in between: off
#include "control/base/fault.hpp"
#include "control/cutover/steps.hpp"
#include "control/postgres/read_only_fence.hpp"
#include "control/service/report_json.hpp"
#include "control/service/service.hpp"

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <spdlog/spdlog.h>

#include <algorithm>

namespace pgsluice::control {
namespace {

namespace json = boost::json;
using clock = limits::clock;
using std::chrono::milliseconds;

constexpr milliseconds timeout_default{10'000};
constexpr milliseconds progress_every{200};
constexpr milliseconds lower_timeout{30'000};  // whatever the operator gave for the way there
constexpr milliseconds recovery_pause{5'000};
constexpr std::string_view recovery_name = "recovery of readonly";
constexpr int recovery_attempts = 10;

bool is_guarded(const proxy::service_progress& p) {
    return p.unguarded == 0;
}

/// Without an admin login there is nobody to raise a fence.
read_only_fence wanted_fence(const request& given, const service_config& service) {
    const std::string text =
        given.text("fence", service.admin == admin_config{} ? "none" : "default");
    return text == "none"      ? read_only_fence::none
           : text == "default" ? read_only_fence::settings
                               : read_only_fence::lock_tables;
}

/// What is not asked for stays as it is.
read_only_means wanted_means(const request& given, const read_only_record& now) {
    if (!given.has("by")) {
        return now.state == read_only_state::on ? now.means : read_only_means::guard;
    }
    return given.text("by") == "user" ? read_only_means::user : read_only_means::guard;
}

/// As it stands when its fence is down.
read_only_record unfenced(const read_only_record& record) {
    return {.state = read_only_state::on, .means = record.means};
}

milliseconds since(clock::time_point start) {
    return std::chrono::duration_cast<milliseconds>(clock::now() - start);
}

}  // namespace

outcome outcome_of(const step_failure& why) {
    const auto exit = why.why == setback::deadline ? exit_code::deadline : exit_code::failed;
    return outcome::of(exit, why.text + (why.hint.empty() ? "" : "; " + why.hint));
}

read_only_record service_operations::read_only_now() const {
    const std::lock_guard guard(mutex_);
    return read_only_;
}

json::value service_operations::read_only_json() const {
    const read_only_record now = read_only_now();
    if (now.state == read_only_state::off) {
        return nullptr;
    }
    json::object fields{
        {"state", to_string(now.state)},
        {"by", to_string(now.means)},
        {"fence", to_string(now.fence)}};
    if (!now.backend.empty()) {
        fields["fenced"] = now.backend;
    }
    return fields;
}

result<void> service_operations::note_read_only(read_only_record next, std::string_view by) {
    json::object payload = encode_read_only(next);
    if (!by.empty()) {
        payload["by"] = by;
    }
    if (auto noted = append(journal_kinds::readonly, std::move(payload)); !noted) {
        return noted.error();
    }
    spdlog::info(
        "readonly service={} state={} by={} fence={}",
        name(),
        to_string(next.state),
        to_string(next.means),
        to_string(next.fence)
    );
    const std::lock_guard guard(mutex_);
    read_only_ = std::move(next);
    return {};
}

outcome service_operations::read_only(const request& given, const progress_sink& tell) {
    bool recovers = false;
    {
        const std::lock_guard guard(mutex_);
        recovers = running_ == recovery_name;
    }
    if (recovers) {
        interrupt_and_wait("readonly");  // what it was about is decided anew
    }
    const auto own = begin("readonly");
    if (!own) {
        return busy();
    }
    if (given.text("MODE") == "on") {
        return begin_read_only(given, tell);
    }
    return end_read_only(given, tell);
}

namespace {

/// What is in force once nobody can write any more; `beside` could, past the proxy.
json::object forced(
    const read_only_record& now, std::uint32_t sessions, const std::vector<std::string>& beside
) {
    return {
        {"access", "read-only"},
        {"by", to_string(now.means)},
        {"fence", to_string(now.fence)},
        {"sessions", sessions},
        {"beside", json::array(beside.begin(), beside.end())}};
}

}  // namespace

outcome service_operations::begin_read_only(const request& given, const progress_sink& tell) {
    const auto started = clock::now();
    const limits until{started + given.duration("timeout", timeout_default), &aborted_};
    const read_only_record now = read_only_now();
    const config_pointer service = settings();
    const bool is_on = now.state == read_only_state::on;
    read_only_record next{
        .state = is_on ? read_only_state::on : read_only_state::entering,
        .fence = wanted_fence(given, *service),
        .means = wanted_means(given, now)};
    const bool keeps_fence = is_on && (next.fence == now.fence || !given.has("fence"));
    if (keeps_fence && next.means == now.means) {
        return outcome::done({{"access", "read-only"}, {"already", true}});
    }
    if (next.means == read_only_means::user) {
        if (auto why = refused_read_only_user(until)) {
            return *why;
        }
    }
    if (keeps_fence) {
        return change_read_only_means(now, next.means, given, until, tell);
    }
    if (now.state != read_only_state::off) {  // another fence, or one that could not be lowered
        if (auto why = lower_read_only_fence(now)) {
            return *why;
        }
    }
    const std::string& route = service->backends[traffic_.current_route().backend].name;
    server_fence fence(*service, *service->find_backend(route));
    if (next.fence != read_only_fence::none) {
        if (auto planned = fence.plan(next, until); !planned) {
            (void)note_read_only(is_on ? unfenced(now) : read_only_record{}, {});
            return outcome_of(planned.error());
        }
    }
    if (auto noted = note_read_only(next, given.asked_by); !noted) {
        return outcome::of(exit_code::failed, noted.error().message);
    }
    around_.engine.force_access(id_, next.access());
    if (!wait_guarded(until.deadline, tell)) {
        return read_only_is_late(started);
    }
    auto beside = raise_read_only_fence(fence, next, until);
    if (!beside) {
        return undo_read_only(next, is_on, beside.error());
    }
    next.state = read_only_state::on;
    if (auto noted = note_read_only(next, given.asked_by); !noted) {
        return undo_read_only(next, is_on, {setback::failed, noted.error().message, {}, {}});
    }
    json::object result = forced(next, traffic_.progress().sessions, *beside);
    if (next.means == read_only_means::user) {
        wait_followed("readonly", until.deadline, tell);
        add_logins(result);
    }
    result["waited_ms"] = since(started).count();
    return outcome::done(std::move(result));
}

/// Yields who could still be writing past the proxy.
step_result<std::vector<std::string>> service_operations::raise_read_only_fence(
    server_fence& fence, const read_only_record& planned, const limits& until
) {
    if (const auto passed = fault_point("readonly_guarded", &aborted_); !passed) {
        return step_failure{setback::failed, passed.error().message, {}, {}};
    }
    if (planned.fence == read_only_fence::none) {
        return std::vector<std::string>{};
    }
    const auto ours = around_.engine.backend_pids(id_, traffic_.current_route().backend);
    auto beside = fence.raise(planned, ours, until);
    if (beside && planned.fence == read_only_fence::lock_tables) {
        auto locks = fence.lock_tables(until);
        if (!locks) {
            return locks.error();
        }
        table_locks_ = std::move(*locks);
    }
    if (const auto passed = fault_point("readonly_fenced", &aborted_); !passed) {
        return step_failure{setback::failed, passed.error().message, {}, {}};
    }
    return beside;
}

/// Nothing when it is down; else why not, and the fence stays in the journal.
std::optional<outcome> service_operations::lower_read_only_fence(const read_only_record& raised) {
    const config_pointer service = settings();
    const backend_config* backend = service->find_backend(raised.backend);
    if (backend != nullptr) {
        server_fence fence(*service, *backend);
        auto down = fence.lower(raised, {clock::now() + lower_timeout, &stopping_});
        if (!down) {
            return outcome_of(down.error());
        }
    }
    table_locks_ = {};
    return std::nullopt;
}

/// The fence cannot be raised: back to where the command found the service.
outcome
service_operations::undo_read_only(read_only_record tried, bool was_on, const step_failure& why) {
    outcome told = outcome_of(why);
    auto left = lower_read_only_fence(tried);
    if (!was_on) {
        around_.engine.force_access(id_, proxy::forced_access::none);
    }
    if (left) {
        told.error +=
            "; and the fence could not be taken down: " + left->error + "; repeat readonly off";
        tried.state = was_on ? read_only_state::on : read_only_state::leaving;
        (void)note_read_only(std::move(tried), {});
        return told;
    }
    (void)note_read_only(was_on ? unfenced(tried) : read_only_record{}, {});
    return told;
}

/// True when no session can write any more.
bool service_operations::wait_guarded(clock::time_point deadline, const progress_sink& tell) {
    const auto started = clock::now();
    while (!aborted_) {
        const auto look = std::min(deadline, clock::now() + progress_every);
        if (traffic_.wait(is_guarded, look)) {
            return true;
        }
        if (clock::now() >= deadline) {
            return false;
        }
        tell(
            {{"step", "readonly"},
             {"text", counted(traffic_.progress().unguarded, "session") + " in a transaction left"},
             {"elapsed_ms", since(started).count()}}
        );
    }
    return false;
}

outcome service_operations::read_only_is_late(clock::time_point started) {
    auto blockers = traffic_.sessions();
    std::erase_if(blockers, [](const proxy::session_info& each) {
        return each.is_guarded || !blocks_drain(each) || each.phase == proxy::session_phase::login;
    });
    around_.engine.force_access(id_, proxy::forced_access::none);
    // Should the journal refuse, a restart leads to off all the same.
    (void)note_read_only({}, {});
    json::object result{
        {"access", "read-write"},
        {"waited_ms", since(started).count()},
        {"blockers", blockers_json(blockers)}};
    if (aborted_) {
        return outcome::of(exit_code::failed, "readonly on was ended, writes go on", result);
    }
    return outcome::of(
        exit_code::deadline,
        counted(blockers.size(), "session") +
            " did not come to a boundary in time; access is read-write again",
        std::move(result)
    );
}

outcome service_operations::end_read_only(const request& given, const progress_sink& tell) {
    const auto started = clock::now();
    read_only_record next = read_only_now();
    if (next.state == read_only_state::off) {
        return outcome::done({{"access", "read-write"}, {"already", true}});
    }
    const bool was_on = next.state == read_only_state::on;
    next.state = read_only_state::leaving;
    if (auto noted = note_read_only(next, {}); !noted) {
        return outcome::of(exit_code::failed, noted.error().message);
    }
    if (auto why = lower_read_only_fence(next)) {
        next.state = was_on ? read_only_state::on : read_only_state::leaving;
        (void)note_read_only(next, {});
        why->error += was_on ? "; the service stays read-only" : "; the fence may still stand";
        return *why;
    }
    (void)fault_point("readonly_lowered", &aborted_);
    around_.engine.force_access(id_, proxy::forced_access::none);
    if (auto noted = note_read_only({}, {}); !noted) {
        return outcome::of(exit_code::failed, noted.error().message);
    }
    if (next.means == read_only_means::user) {
        wait_followed("readonly", started + given.duration("timeout", timeout_default), tell);
        return own_logins_outcome(since(started));
    }
    return outcome::done({{"access", "read-write"}});
}

/// Null unless a fence of forced read-only stands, which a cutover's own fence cannot be told from.
std::optional<outcome> service_operations::refused_by_read_only_fence() const {
    const read_only_record now = read_only_now();
    if (now.backend.empty()) {
        return std::nullopt;
    }
    return outcome::of(
        exit_code::refused,
        "backend " + now.backend + " is fenced by readonly on; first give readonly on --fence none"
    );
}

void service_operations::recover_read_only() {
    const auto own = begin(recovery_name);
    const read_only_record found = read_only_now();
    if (!own || found.state == read_only_state::off) {
        return;
    }
    if (found.state == read_only_state::on) {
        const config_pointer service = settings();
        const backend_config* backend = service->find_backend(found.backend);
        if (backend != nullptr) {
            server_fence fence(*service, *backend);
            const limits until{clock::now() + lower_timeout, &aborted_};
            const auto raised = raise_read_only_fence(fence, found, until);
            if (!raised) {
                spdlog::error("readonly_fence service={} why=\"{}\"", name(), raised.error().text);
            }
        }
        return;
    }
    for (int attempt = 0; attempt < recovery_attempts && !aborted_; ++attempt) {
        const auto why = lower_read_only_fence(found);
        if (!why) {
            (void)note_read_only({}, "recovery");
            return;
        }
        spdlog::error("readonly_fence_left service={} why=\"{}\"", name(), why->error);
        traffic_.wait(
            [](const proxy::service_progress&) { return false; }, clock::now() + recovery_pause
        );
    }
}

}  // namespace pgsluice::control
