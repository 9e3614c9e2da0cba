// Cutover, retarget and what a restart has to finish: the runner in cutover.hpp between this
// service's traffic, its servers, its journal and whoever watches.
#include "control/fault.hpp"
#include "control/nearest.hpp"
#include "control/operations.hpp"
#include "control/record_json.hpp"
#include "control/report_json.hpp"
#include "control/settings.hpp"

#include <spdlog/spdlog.h>

#include <ctime>

namespace pgsluice::control {
namespace {

using clock = limits::clock;
using std::chrono::milliseconds;

/// The servers of a retarget, which asks nothing of them.
class no_servers final : public server_pair {
public:
    step_result<std::vector<check_row>> preflight(const expectations&, limits) override {
        return no();
    }
    step_result<std::vector<std::string>>
    custom_settings(std::span<const std::string>, limits) override {
        return no();
    }
    step_result<void> prepare(limits) override { return no(); }
    step_result<std::vector<reading>> readings(limits) override { return no(); }
    bool same_server() const override { return true; }
    bool is_new_read_only() const override { return false; }
    step_result<fence_memory> read_fence(limits) override { return no(); }
    step_result<std::string>
    fence(const std::function<std::vector<std::int32_t>()>&, limits) override {
        return no();
    }
    step_result<void> unfence(const fence_memory&, limits) override { return no(); }
    step_result<std::string> lift(const fence_memory&, limits) override { return no(); }
    step_result<void> undo_lift(limits) override { return no(); }
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

/// Writes a cutover's records to the journal and its progress to the log, to status and to the
/// command's peer.
class service_operations::recorder final : public chronicle, public audience {
public:
    recorder(service_operations& owner, const cutover_request& asked, const progress_sink& tell)
        : owner_(owner), asked_(asked), tell_(tell) {}

    step_result<void> append(const cutover_record& record) override {
        const auto appended = owner_.append(journal_kind(record.kind), encode_cutover(record));
        if (!appended) {
            return step_failure{setback::failed, appended.error().message, "", {}};
        }
        return {};
    }

    void show(const step_progress& progress) override {
        {
            const std::lock_guard guard(owner_.mutex_);
            owner_.cutover_->step = progress.step;
        }
        spdlog::log(
            progress.done ? spdlog::level::info : spdlog::level::debug,
            "cutover service={} id={} step={} elapsed_ms={} text=\"{}\"",
            asked_.service,
            asked_.id,
            progress.step,
            progress.elapsed.count(),
            progress.text
        );
        tell_(
            {{"step", progress.step},
             {"text", progress.text},
             {"elapsed_ms", progress.elapsed.count()},
             {"done", progress.done}}
        );
    }

    step_result<void> fault(std::string_view point) override {
        if (const auto passed = fault_point(point, &owner_.aborted_); !passed) {
            return step_failure{setback::failed, passed.error().message, "", {}};
        }
        return {};
    }

private:
    service_operations& owner_;
    const cutover_request& asked_;
    const progress_sink& tell_;
};

result<cutover_request>
service_operations::make_move(const request& given, std::string_view to, bool retarget) {
    const config_pointer service = settings();
    if (service->find_backend(to) == nullptr) {
        std::vector<std::string_view> names;
        for (const backend_config& backend : service->backends) {
            names.push_back(backend.name);
        }
        return failure{
            "22023",
            "\"" + std::string(to) + "\" is not a backend of service " + service->name +
                ", expected " + one_of(names) + did_you_mean(to, names),
            {},
            {}};
    }
    cutover_request asked;
    asked.id = new_id();
    asked.service = service->name;
    asked.from_backend = traffic_.current_route().backend;
    asked.from = service->backends[asked.from_backend].name;
    asked.to = to;
    asked.to_backend = backend_index(*service, to);
    asked.retarget = retarget;
    asked.replication = service->replication.kind;
    asked.way_back = !retarget && service->replication.kind == replication_kind::logical &&
                     service->replication.reverse == reverse_mode::on;
    asked.on_pinned = service->cutover.on_pinned;
    if (given.text("on-pinned") == "terminate") {
        asked.on_pinned = pinned_policy::terminate;
    } else if (given.has("on-pinned")) {
        const bool waits = given.text("on-pinned") == "wait";
        asked.on_pinned = waits ? pinned_policy::wait : pinned_policy::abort;
    }
    asked.timeout = given.duration("timeout", asked.timeout);
    asked.drain_timeout = service->cutover.drain_timeout;
    asked.long_transaction = service->cutover.long_transaction;
    asked.catch_up_timeout = service->cutover.catch_up_timeout;
    asked.hold_timeout = service->hold.timeout;
    const std::lock_guard guard(mutex_);
    asked.fence_left = fence_left_;
    if (const auto stands = fences_.find(to); stands != fences_.end() && !retarget) {
        asked.to_fence = stands->second;
    }
    return asked;
}

std::unique_ptr<server_pair> service_operations::make_servers(const cutover_request& asked) {
    if (asked.retarget) {
        return std::make_unique<no_servers>();
    }
    const config_pointer service = settings();
    return around_.servers(
        *service, *service->find_backend(asked.from), *service->find_backend(asked.to)
    );
}

void service_operations::show_cutover(const cutover_request& asked) {
    const std::lock_guard guard(mutex_);
    cutover_ = cutover_view{
        asked.id, asked.from, asked.to, "begin", "running", clock::now(), clock::time_point{}};
}

void service_operations::end_cutover(const cutover_request& asked, const cutover_report& report) {
    spdlog::log(
        report.exit_code == 0 ? spdlog::level::info : spdlog::level::warn,
        "cutover_ended service={} outcome={} text=\"{}\" hint=\"{}\"",
        name(),
        report.outcome,
        report.text,
        report.hint
    );
    const std::lock_guard guard(mutex_);
    fence_left_ = report.fence_left;
    if (report.fence_stands) {
        fences_[asked.from] = *report.fence_stands;
        fences_.erase(asked.to);
    }
    if (!asked.retarget && (report.exit_code == 0 || report.exit_code == 6)) {
        previous_ = asked.from;
    }
    cutover_->outcome = report.outcome;
    cutover_->ended = clock::now();
}

outcome service_operations::move(
    const cutover_request& asked, server_pair& servers, const progress_sink& tell
) {
    show_cutover(asked);
    recorder records(*this, asked, tell);
    const cutover_report report =
        run_cutover(asked, {traffic_, servers, records, records, aborted_, stopping_});
    end_cutover(asked, report);
    return report_outcome(asked, report);
}

outcome service_operations::retarget(const request& given, const progress_sink& tell) {
    const auto own = begin("retarget");
    if (!own) {
        return busy();
    }
    const auto asked = make_move(given, given.text("BACKEND"), true);
    if (!asked) {
        return outcome::of(exit_code::usage, asked.error().message);
    }
    if (asked->from == asked->to) {
        return outcome::of(exit_code::refused, "the route is " + asked->to + " already");
    }
    return move(*asked, *make_servers(*asked), tell);
}

outcome service_operations::cutover(const request& given, const progress_sink& tell) {
    if (given.has("plan")) {
        return outcome::of(exit_code::usage, "--plan is not in this version");
    }
    const auto own = begin("cutover");
    if (!own) {
        return busy();
    }
    return cutover_to(given.text("to"), given, tell);
}

outcome service_operations::cutover_to(
    std::string_view to, const request& given, const progress_sink& tell
) {
    const auto asked = make_move(given, to, false);
    if (!asked) {
        return outcome::of(exit_code::usage, asked.error().message);
    }
    if (asked->from == asked->to) {
        return outcome::of(exit_code::refused, "the route is " + asked->to + " already");
    }
    const auto servers = make_servers(*asked);
    if (!given.has("dry-run")) {
        return move(*asked, *servers, tell);
    }
    recorder records(*this, *asked, tell);
    return rehearsal_outcome(
        *asked,
        rehearse_cutover(*asked, {traffic_, *servers, records, records, aborted_, stopping_})
    );
}

outcome service_operations::rollback(const request& given, const progress_sink& tell) {
    const auto own = begin("rollback");
    if (!own) {
        return busy();
    }
    std::string previous;
    {
        const std::lock_guard guard(mutex_);
        previous = previous_;
    }
    if (previous.empty()) {
        return outcome::of(exit_code::refused, "there was no cutover that could be rolled back");
    }
    return cutover_to(previous, given, tell);
}

void service_operations::recover(const service_state& found) {
    const auto own = begin("recovery");
    if (!own) {
        return;
    }
    if (found.is_paused) {
        // Recovery ends with an open gate, so a pause that stood before the crash ends with it.
        (void)append(journal_kinds::resume, {{"why", "recovery"}});
    }
    const cutover_record& begun = found.unfinished->begun;
    auto asked = make_move(request{}, begun.to, begun.retarget);
    PGSLUICE_ASSERT(asked.has_value());
    asked->id = begun.id;
    asked->from = begun.from;
    asked->from_backend = backend_index(*settings(), begun.from);
    asked->way_back = begun.way_back;
    show_cutover(*asked);
    const auto servers = make_servers(*asked);
    const progress_sink nobody = [](const boost::json::object&) {
    };
    recorder records(*this, *asked, nobody);
    const cutover_report report = recover_cutover(
        *found.unfinished, *asked, {traffic_, *servers, records, records, aborted_, stopping_}
    );
    end_cutover(*asked, report);
}

}  // namespace pgsluice::control
