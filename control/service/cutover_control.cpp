// Cutover, retarget and what a restart has to finish: the runner in cutover.hpp between this
// service's traffic, its servers, its journal and whoever watches.
#include "control/base/duration.hpp"
#include "control/base/fault.hpp"
#include "control/config/cutover_plan_file.hpp"
#include "control/config/resolve.hpp"
#include "control/cutover/expect.hpp"
#include "control/records/admission.hpp"
#include "control/records/cutover_json.hpp"
#include "control/service/cutover_recorder.hpp"
#include "control/service/report_json.hpp"

#include <spdlog/spdlog.h>

#include <ctime>

namespace pgsluice::control {
namespace {

using clock = limits::clock;
using std::chrono::milliseconds;

/// The servers of a retarget, which asks nothing of them.
class no_servers final : public server_pair {
public:
    step_result<std::vector<check_row>> preflight(const preflight_expectations&, limits) override {
        return no();
    }
    step_result<std::vector<std::string>>
    custom_settings(std::span<const std::string>, limits) override {
        return no();
    }
    step_result<std::string> prewarm(limits) override { return no(); }
    step_result<void> prepare(limits) override { return no(); }
    step_result<std::vector<reading>> readings(limits) override { return no(); }
    bool same_server() const override { return true; }
    bool is_new_read_only() const override { return false; }
    step_result<fence_memory> read_fence(limits) override { return no(); }
    step_result<std::string>
    fence(const fence_memory&, const std::function<std::vector<std::int32_t>()>&, limits) override {
        return no();
    }
    void let_go() override {}
    step_result<void> unfence(const fence_memory&, limits) override { return no(); }
    step_result<std::string> lift(const fence_memory&, limits) override { return no(); }
    step_result<void> undo_lift(const fence_memory&, limits) override { return no(); }
    step_result<lsn> mark(std::string_view, limits) override { return no(); }
    step_result<void> catch_up(lsn, limits) override { return no(); }
    step_result<std::string> copy_sequences(limits) override { return no(); }
    step_result<void> promote(limits) override { return no(); }
    step_result<void> verify(limits) override { return no(); }
    step_result<void> unsubscribe(limits) override { return no(); }
    step_result<void> prepare_way_back(limits) override { return no(); }
    step_result<void> mark_way_back(limits) override { return no(); }
    step_result<void> follow_back(limits) override { return no(); }
    step_result<void> undo_way_back(limits) override { return no(); }
    step_result<void> run_hook(hook_kind, std::string_view, limits) override { return no(); }

private:
    static step_failure no() { return {setback::failed, "a retarget asks no server", "", {}}; }
};

/// Sorts by time and is unique within a service, which runs one at a time.
std::string new_id() {
    const auto now = std::chrono::system_clock::now();
    const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
    const auto ms = std::chrono::duration_cast<milliseconds>(now.time_since_epoch()).count() % 1000;
    std::tm parts{};
    ::gmtime_r(&seconds, &parts);
    char text[32];
    const std::size_t length = std::strftime(text, sizeof text, "%Y%m%dT%H%M%S", &parts);
    return std::string(text, length) + "." + std::to_string(1000 + ms).substr(1);
}

}  // namespace

result<cutover_request> cutover_control::make_move(
    const config_pointer& service, const request& given, std::string_view to, bool retarget
) {
    if (service->find_backend(to) == nullptr) {
        return no_such_backend(*service, to);
    }
    cutover_request asked;
    asked.id = new_id();
    asked.service = service->name;
    asked.from_backend = core_.traffic.current_route().backend;
    asked.from = service->backends[asked.from_backend].name;
    asked.to = to;
    asked.to_backend = backend_index(*service, to);
    asked.retarget = retarget;
    asked.replication = service->replication.kind;
    asked.way_back = !retarget && service->replication.kind == replication_kind::logical &&
                     service->replication.reverse == reverse_mode::on;
    const cutover_config& configured = service->cutover;
    asked.on_pinned = configured.on_pinned;
    if (given.text("on-pinned") == "terminate") {
        asked.on_pinned = pinned_policy::terminate;
    } else if (given.has("on-pinned")) {
        const bool waits = given.text("on-pinned") == "wait";
        asked.on_pinned = waits ? pinned_policy::wait : pinned_policy::abort;
    }
    asked.timeout = given.duration("timeout", configured.timeout);
    asked.preflight_timeout = configured.preflight_timeout;
    asked.prepare_timeout = configured.prepare_timeout;
    asked.drain_timeout = configured.drain_timeout;
    asked.long_transaction = configured.long_transaction;
    asked.fence_timeout = configured.fence_timeout;
    asked.catch_up_timeout = configured.catch_up_timeout;
    asked.sequences_timeout = configured.sequences_timeout;
    asked.promote_timeout = configured.promote_timeout;
    asked.verify_timeout = configured.verify_timeout;
    asked.pause_limit = configured.pause_limit;
    asked.attempts = configured.attempts;
    asked.retry_after = configured.retry_after;
    asked.fence = configured.fence;
    asked.hook_timeout = configured.hook_timeout;
    const bool is_forth = given.what != nullptr && given.what->id == command_id::cutover;
    if (is_forth && !configured.admit_after.empty()) {
        asked.admit_after = admission_of(configured.admit_after);
    }
    asked.read_only_after = is_forth && configured.access_after == later_access::read_only;
    asked.prewarm = configured.prewarm;
    asked.prewarm_timeout = configured.prewarm_timeout;
    asked.state_dir = core_.log.directory();
    asked.has_before = !configured.before_command.empty();
    asked.has_after = !configured.after_command.empty();
    asked.has_abort = !configured.abort_command.empty();
    asked.hold_timeout = service->hold.timeout;
    const std::lock_guard guard(core_.mutex);
    asked.fence_left = fence_left_;
    if (const auto stands = fences_.find(to); stands != fences_.end() && !retarget) {
        asked.to_fence = stands->second;
    }
    return asked;
}

std::unique_ptr<server_pair>
cutover_control::make_servers(const config_pointer& service, const cutover_request& asked) {
    if (asked.retarget) {
        return std::make_unique<no_servers>();
    }
    return core_.servers(
        *service, *service->find_backend(asked.from), *service->find_backend(asked.to)
    );
}

void cutover_control::show(const cutover_request& asked) {
    const std::lock_guard guard(core_.mutex);
    last_ = cutover_view{
        asked.id, asked.from, asked.to, "begin", "running", clock::now(), clock::time_point{}};
}

void cutover_control::end(const cutover_request& asked, const cutover_report& report) {
    spdlog::log(
        report.exit_code == 0 ? spdlog::level::info : spdlog::level::warn,
        "cutover_ended service={} outcome={} text=\"{}\" hint=\"{}\"",
        core_.name(),
        report.outcome,
        report.text,
        report.hint
    );
    const bool is_there = report.exit_code == 0 || report.exit_code == 6;
    if (!asked.retarget && is_there && asked.read_only_after) {
        read_only_.entered_by_cutover();
    }
    const std::lock_guard guard(core_.mutex);
    fence_left_ = report.fence_left;
    if (report.fence_stands) {
        fences_[asked.from] = *report.fence_stands;
        fences_.erase(asked.to);
    }
    if (report.exit_code == 0) {
        remember_times(times_, report.steps);
    }
    if (!asked.retarget && is_there) {
        previous_ = asked.from;
    }
    last_->outcome = report.outcome;
    last_->ended = clock::now();
}

cutover_world cutover_control::world(server_pair& servers, recorder& records) {
    return {core_.traffic, servers, records, records, core_.aborted(), core_.lock.stopping()};
}

cutover_report cutover_control::move(
    const cutover_request& asked, server_pair& servers, const progress_sink& tell
) {
    show(asked);
    recorder records(*this, asked, tell);
    cutover_report report = run_cutover(asked, world(servers, records));
    end(asked, report);
    return report;
}

/// Between two attempts clients are served as ever. False when an abort ends the wait.
bool cutover_control::rest(
    milliseconds how_long, const std::string& why, const progress_sink& tell
) {
    const auto started = clock::now();
    {
        const std::lock_guard guard(core_.mutex);
        last_->step = "retry";
    }
    spdlog::info("cutover_retries service={} text=\"{}\"", core_.name(), why);
    tell({{"step", "retry"}, {"text", why}, {"elapsed_ms", 0}, {"done", true}});
    const auto never = [](const proxy::service_progress&) {
        return false;
    };
    while (!core_.aborted() && clock::now() < started + how_long) {
        core_.traffic.wait(never, started + how_long);
    }
    return !core_.aborted();
}

outcome cutover_control::retarget(const request& given, const progress_sink& tell) {
    const auto own = core_.lock.begin(operation::retarget);
    if (!own) {
        return core_.lock.busy();
    }
    const config_pointer service = core_.settings();
    const auto asked = make_move(service, given, given.text("BACKEND"), true);
    if (!asked) {
        return outcome::of(exit_code::usage, asked.error().message);
    }
    if (asked->from == asked->to) {
        return outcome::of(exit_code::refused, "the route is " + asked->to + " already");
    }
    if (auto on = refused_move()) {
        return *on;
    }
    return report_outcome(*asked, move(*asked, *make_servers(service, *asked), tell));
}

outcome cutover_control::cutover(const request& given, const progress_sink& tell) {
    const auto own = core_.lock.begin(operation::cutover);
    if (!own) {
        return core_.lock.busy();
    }
    config_pointer service = core_.settings();
    if (auto wrong = read_plan(given, service)) {
        return *wrong;
    }
    return cutover_to(service, given.text("to"), given, tell);
}

/// Puts the plan's values into `service`, if there is a plan; or says what is wrong with it.
std::optional<outcome>
cutover_control::read_plan(const request& given, config_pointer& service) const {
    if (!given.has("plan")) {
        return std::nullopt;
    }
    const std::string file = given.text("plan");
    plan_outcome read = load_plan(file, *service);
    if (!read.value) {
        return outcome::of(exit_code::usage, format_problem(file, read.errors.front()));
    }
    cutover_plan& plan = *read.value;
    if (!plan.to.empty() && plan.to != given.text("to")) {
        return outcome::of(exit_code::usage, file + " is a plan for a cutover to " + plan.to);
    }
    const std::string& route = core_.route_of(*service);
    if (!plan.from.empty() && plan.from != route) {
        return outcome::of(
            exit_code::refused, file + " leaves " + plan.from + ", the route is " + route
        );
    }
    service = std::make_shared<const service_config>(std::move(plan.service));
    return std::nullopt;
}

/// Tries again what a deadline has ended, as often as the configuration says. Each attempt is a
/// cutover of its own, with its own records and a preflight that looks again.
outcome cutover_control::attempt(
    const config_pointer& service,
    const request& given,
    cutover_request asked,
    std::unique_ptr<server_pair> servers,
    const progress_sink& tell
) {
    milliseconds backoff = asked.retry_after;
    for (std::uint32_t number = 1;; ++number) {
        const cutover_report report = move(asked, *servers, tell);
        const bool is_late = report.exit_code == static_cast<int>(exit_code::deadline);
        const std::string which =
            "attempt " + std::to_string(number) + " of " + std::to_string(asked.attempts);
        outcome ended = report_outcome(asked, report);
        if (!is_late || number >= asked.attempts || core_.aborted()) {
            ended.error += is_late && asked.attempts > 1 ? " (" + which + ")" : "";
            return ended;
        }
        const std::string why =
            which + " went back, the next one in " + format_duration(backoff) + ": " + report.text;
        auto next = make_move(service, given, asked.to, false);
        if (!rest(backoff, why, tell) || !next) {
            return ended;
        }
        backoff *= 2;
        asked = std::move(*next);
        servers = make_servers(service, asked);
    }
}

outcome cutover_control::cutover_to(
    const config_pointer& service,
    std::string_view to,
    const request& given,
    const progress_sink& tell
) {
    if (auto fenced = read_only_.refused_fence()) {
        return *fenced;
    }
    auto asked = make_move(service, given, to, false);
    if (!asked) {
        return outcome::of(exit_code::usage, asked.error().message);
    }
    if (asked->from == asked->to) {
        return outcome::of(exit_code::refused, "the route is " + asked->to + " already");
    }
    if (auto on = refused_move()) {
        return *on;
    }
    auto servers = make_servers(service, *asked);
    if (!given.has("dry-run")) {
        return attempt(service, given, std::move(*asked), std::move(servers), tell);
    }
    step_times last;
    {
        const std::lock_guard guard(core_.mutex);
        last = times_;
    }
    recorder records(*this, *asked, tell);
    return rehearsal_outcome(*asked, rehearse_cutover(*asked, world(*servers, records), last));
}

outcome cutover_control::rollback(const request& given, const progress_sink& tell) {
    const auto own = core_.lock.begin(operation::rollback);
    if (!own) {
        return core_.lock.busy();
    }
    std::string previous;
    {
        const std::lock_guard guard(core_.mutex);
        previous = previous_;
    }
    if (previous.empty()) {
        return outcome::of(exit_code::refused, "there was no cutover that could be rolled back");
    }
    return cutover_to(core_.settings(), previous, given, tell);
}

/// All sessions go to one backend as who they are: none may be elsewhere, or with another login.
std::optional<outcome> cutover_control::refused_move() const {
    auto why = canary_.refused_move();
    return why ? why : read_only_.refused_move();
}

outcome cutover_control::preflight(const request& given) {
    const auto own = core_.lock.begin(operation::preflight);
    if (!own) {
        return core_.lock.busy();
    }
    config_pointer service = core_.settings();
    if (auto wrong = read_plan(given, service)) {
        return *wrong;
    }
    const auto asked = make_move(service, given, given.text("to"), false);
    if (!asked) {
        return outcome::of(exit_code::usage, asked.error().message);
    }
    if (asked->from == asked->to) {
        return outcome::of(exit_code::refused, "the route is " + asked->to + " already");
    }
    const limits until{limits::clock::now() + asked->preflight_timeout, &core_.aborted()};
    const auto rows =
        make_servers(service, *asked)->preflight(expect(core_.traffic, *asked), until);
    if (!rows) {
        const bool is_late = rows.error().why == setback::deadline;
        return outcome::of(is_late ? exit_code::deadline : exit_code::failed, rows.error().text);
    }
    return preflight_outcome(*asked, *rows);
}

void cutover_control::recover(const service_state& found) {
    const auto own = core_.lock.begin(operation::recovery);
    if (!own) {
        return;
    }
    if (found.is_paused) {
        // Recovery ends with an open gate, so a pause that stood before the crash ends with it.
        (void)core_.append(journal_kinds::resume, {{"why", "recovery"}});
    }
    const cutover_record& begun = found.unfinished->begun;
    const config_pointer service = core_.settings();
    auto asked = make_move(service, request{}, begun.to, begun.retarget);
    PGSLUICE_ASSERT(asked.has_value());
    asked->id = begun.id;
    asked->from = begun.from;
    asked->from_backend = backend_index(*core_.settings(), begun.from);
    asked->way_back = begun.way_back;
    if (found.admitted != proxy::admission{}) {
        asked->admit_after = found.admitted;  // as the engine was started
    }
    show(*asked);
    const auto servers = make_servers(service, *asked);
    const progress_sink nobody = [](const boost::json::object&) {
    };
    recorder records(*this, *asked, nobody);
    const cutover_report report =
        recover_cutover(*found.unfinished, *asked, world(*servers, records));
    end(*asked, report);
}

std::string cutover_control::last_outcome() const {
    const std::lock_guard guard(core_.mutex);
    return last_ ? last_->outcome : "";
}

boost::json::value cutover_control::json() const {
    const std::lock_guard guard(core_.mutex);
    if (!last_) {
        return nullptr;
    }
    const bool is_over = last_->ended != clock::time_point{};
    const auto elapsed = (is_over ? last_->ended : clock::now()) - last_->started;
    return {
        {"id", last_->id},
        {"from", last_->from},
        {"to", last_->to},
        {"step", last_->step},
        {"elapsed_ms", std::chrono::duration_cast<std::chrono::milliseconds>(elapsed).count()},
        {"outcome", last_->outcome},
    };
}

}  // namespace pgsluice::control
