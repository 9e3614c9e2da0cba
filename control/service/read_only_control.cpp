// Forced read-only: the command, what status tells of it, and what a restart has to finish. Each
// change is in the journal before it takes effect:
//
//   on    entering -> guards, drain, fence -> on       a crash in between, a deadline: off
//   off   leaving -> fence down, guards away -> off    a crash in between: off
#include "control/service/read_only_control.hpp"

#include "control/base/fault.hpp"
#include "control/cutover/steps.hpp"
#include "control/postgres/read_only_fence.hpp"
#include "control/service/report_json.hpp"

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

read_only_record read_only_control::now() const {
    const std::lock_guard guard(core_.mutex);
    return now_;
}

json::value read_only_control::json() const {
    const read_only_record now = this->now();
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

result<void> read_only_control::note(read_only_record next, std::string_view by) {
    json::object payload = encode_read_only(next);
    if (!by.empty()) {
        payload["by"] = by;
    }
    if (auto noted = core_.append(journal_kinds::readonly, std::move(payload)); !noted) {
        return noted.error();
    }
    spdlog::info(
        "readonly service={} state={} by={} fence={}",
        core_.name(),
        to_string(next.state),
        to_string(next.means),
        to_string(next.fence)
    );
    const std::lock_guard guard(core_.mutex);
    now_ = std::move(next);
    return {};
}

outcome read_only_control::read_only(const request& given, const progress_sink& tell) {
    // What that recovery is about is decided anew.
    core_.lock.interrupt_and_wait("readonly", operation::read_only_recovery);
    const auto own = core_.lock.begin(operation::read_only);
    if (!own) {
        return core_.lock.busy();
    }
    if (given.text("MODE") == "on") {
        return begin(given, tell);
    }
    return end(given, tell);
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

outcome read_only_control::begin(const request& given, const progress_sink& tell) {
    const auto started = clock::now();
    const limits until{started + given.duration("timeout", timeout_default), &core_.aborted()};
    const read_only_record now = this->now();
    const auto service = core_.settings();
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
        if (auto why = refused_user(until)) {
            return *why;
        }
    }
    if (keeps_fence) {
        return change_means(now, next.means, given, until, tell);
    }
    if (now.state != read_only_state::off) {  // another fence, or one that could not be lowered
        if (auto why = lower_fence(now)) {
            return *why;
        }
    }
    const std::string& route = core_.route_of(*service);
    server_fence fence(*service, *service->find_backend(route));
    if (next.fence != read_only_fence::none) {
        if (auto planned = fence.plan(next, until); !planned) {
            (void)note(is_on ? unfenced(now) : read_only_record{}, {});
            return outcome_of(planned.error());
        }
    }
    if (auto noted = note(next, given.asked_by); !noted) {
        return outcome::of(exit_code::failed, noted.error().message);
    }
    core_.engine.force_access(core_.id, next.access());
    if (!wait_guarded(until.deadline, tell)) {
        return is_late(started);
    }
    auto beside = raise_fence(fence, next, until);
    if (!beside) {
        return undo(next, is_on, beside.error());
    }
    next.state = read_only_state::on;
    if (auto noted = note(next, given.asked_by); !noted) {
        return undo(next, is_on, {setback::failed, noted.error().message, {}, {}});
    }
    json::object result = forced(next, core_.traffic.progress().sessions, *beside);
    if (next.means == read_only_means::user) {
        core_.wait_followed("readonly", until.deadline, tell);
        add_logins(result);
    }
    result["waited_ms"] = since(started).count();
    return outcome::done(std::move(result));
}

/// Yields who could still be writing past the proxy.
step_result<std::vector<std::string>> read_only_control::raise_fence(
    server_fence& fence, const read_only_record& planned, const limits& until
) {
    if (const auto passed = fault_point("readonly_guarded", &core_.aborted()); !passed) {
        return step_failure{setback::failed, passed.error().message, {}, {}};
    }
    if (planned.fence == read_only_fence::none) {
        return std::vector<std::string>{};
    }
    const auto ours = core_.engine.backend_pids(core_.id, core_.traffic.current_route().backend);
    auto beside = fence.raise(planned, ours, until);
    if (beside && planned.fence == read_only_fence::lock_tables) {
        auto locks = fence.lock_tables(until);
        if (!locks) {
            return locks.error();
        }
        table_locks_ = std::move(*locks);
    }
    if (const auto passed = fault_point("readonly_fenced", &core_.aborted()); !passed) {
        return step_failure{setback::failed, passed.error().message, {}, {}};
    }
    return beside;
}

/// Nothing when it is down; else why not, and the fence stays in the journal.
std::optional<outcome> read_only_control::lower_fence(const read_only_record& raised) {
    const auto service = core_.settings();
    const backend_config* backend = service->find_backend(raised.backend);
    if (backend != nullptr) {
        server_fence fence(*service, *backend);
        auto down = fence.lower(raised, {clock::now() + lower_timeout, &core_.lock.stopping()});
        if (!down) {
            return outcome_of(down.error());
        }
    }
    table_locks_ = {};
    return std::nullopt;
}

/// The fence cannot be raised: back to where the command found the service.
outcome read_only_control::undo(read_only_record tried, bool was_on, const step_failure& why) {
    outcome told = outcome_of(why);
    auto left = lower_fence(tried);
    if (!was_on) {
        core_.engine.force_access(core_.id, proxy::forced_access::none);
    }
    if (left) {
        told.error +=
            "; and the fence could not be taken down: " + left->error + "; repeat readonly off";
        tried.state = was_on ? read_only_state::on : read_only_state::leaving;
        (void)note(std::move(tried), {});
        return told;
    }
    (void)note(was_on ? unfenced(tried) : read_only_record{}, {});
    return told;
}

/// True when no session can write any more.
bool read_only_control::wait_guarded(clock::time_point deadline, const progress_sink& tell) {
    const auto started = clock::now();
    while (!core_.aborted()) {
        const auto look = std::min(deadline, clock::now() + progress_every);
        if (core_.traffic.wait(is_guarded, look)) {
            return true;
        }
        if (clock::now() >= deadline) {
            return false;
        }
        tell(
            {{"step", "readonly"},
             {"text",
              counted(core_.traffic.progress().unguarded, "session") + " in a transaction left"},
             {"elapsed_ms", since(started).count()}}
        );
    }
    return false;
}

outcome read_only_control::is_late(clock::time_point started) {
    auto blockers = core_.traffic.sessions();
    std::erase_if(blockers, [](const proxy::session_info& each) {
        return each.is_guarded || !blocks_drain(each) || each.phase == proxy::session_phase::login;
    });
    core_.engine.force_access(core_.id, proxy::forced_access::none);
    // Should the journal refuse, a restart leads to off all the same.
    (void)note({}, {});
    json::object result{
        {"access", "read-write"},
        {"waited_ms", since(started).count()},
        {"blockers", blockers_json(blockers)}};
    if (core_.aborted()) {
        return outcome::of(exit_code::failed, "readonly on was ended, writes go on", result);
    }
    return outcome::of(
        exit_code::deadline,
        counted(blockers.size(), "session") +
            " did not come to a boundary in time; access is read-write again",
        std::move(result)
    );
}

outcome read_only_control::end(const request& given, const progress_sink& tell) {
    const auto started = clock::now();
    read_only_record next = now();
    if (next.state == read_only_state::off) {
        return outcome::done({{"access", "read-write"}, {"already", true}});
    }
    const bool was_on = next.state == read_only_state::on;
    next.state = read_only_state::leaving;
    if (auto noted = note(next, {}); !noted) {
        return outcome::of(exit_code::failed, noted.error().message);
    }
    if (auto why = lower_fence(next)) {
        next.state = was_on ? read_only_state::on : read_only_state::leaving;
        (void)note(next, {});
        why->error += was_on ? "; the service stays read-only" : "; the fence may still stand";
        return *why;
    }
    (void)fault_point("readonly_lowered", &core_.aborted());
    core_.engine.force_access(core_.id, proxy::forced_access::none);
    if (auto noted = note({}, {}); !noted) {
        return outcome::of(exit_code::failed, noted.error().message);
    }
    if (next.means == read_only_means::user) {
        core_.wait_followed("readonly", started + given.duration("timeout", timeout_default), tell);
        return own_logins_outcome(since(started));
    }
    return outcome::done({{"access", "read-write"}});
}

/// Null unless a fence of forced read-only stands, which a cutover's own fence cannot be told from.
std::optional<outcome> read_only_control::refused_fence() const {
    const read_only_record now = this->now();
    if (now.backend.empty()) {
        return std::nullopt;
    }
    return outcome::of(
        exit_code::refused,
        "backend " + now.backend + " is fenced by readonly on; first give readonly on --fence none"
    );
}

void read_only_control::entered_by_cutover() {
    const std::lock_guard guard(core_.mutex);
    now_ = {.state = read_only_state::on};
}

void read_only_control::recover() {
    const auto own = core_.lock.begin(operation::read_only_recovery);
    const read_only_record found = now();
    if (!own || found.state == read_only_state::off) {
        return;
    }
    if (found.state == read_only_state::on) {
        const auto service = core_.settings();
        const backend_config* backend = service->find_backend(found.backend);
        if (backend != nullptr) {
            server_fence fence(*service, *backend);
            const limits until{clock::now() + lower_timeout, &core_.aborted()};
            const auto raised = raise_fence(fence, found, until);
            if (!raised) {
                spdlog::error(
                    "readonly_fence service={} why=\"{}\"", core_.name(), raised.error().text
                );
            }
        }
        return;
    }
    for (int attempt = 0; attempt < recovery_attempts && !core_.aborted(); ++attempt) {
        const auto why = lower_fence(found);
        if (!why) {
            (void)note({}, "recovery");
            return;
        }
        spdlog::error("readonly_fence_left service={} why=\"{}\"", core_.name(), why->error);
        core_.traffic.wait(
            [](const proxy::service_progress&) { return false; }, clock::now() + recovery_pause
        );
    }
}

}  // namespace pgsluice::control
