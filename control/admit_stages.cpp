// `admit --stages`: a run of stages on this service, and what the operator may do with it.
#include "control/admission_record.hpp"
#include "control/hook.hpp"
#include "control/load_plan.hpp"
#include "control/operations.hpp"
#include "control/stages_run.hpp"

#include <boost/json/value.hpp>
#include <spdlog/spdlog.h>

#include <map>

namespace pgsluice::control {
namespace {

namespace json = boost::json;
using clock = limits::clock;

}  // namespace

/// What the run's guards read, and what its stages do.
class service_operations::stages_door final : public staged_service {
public:
    explicit stages_door(service_operations& owner) : owner_(owner) {}

    service_reading read() override {
        const proxy::service_progress now = owner_.traffic_.progress();
        proxy::service_load load = owner_.around_.engine.load(owner_.id_);
        load.route.add(load.canary);
        return {
            .at = clock::now(),
            .load = std::move(load.route),
            .held = now.held,
            .backend_connections = now.sessions,
            .gate_open = owner_.traffic_.gate_open()};
    }

    result<void> enter(const proxy::admission& who, const stage_note& note) override {
        const auto own = owner_.begin(stage_change);
        if (!own) {
            return failure{"55006", owner_.busy().error, {}, {}};
        }
        return enter_in_turn(who, note);
    }

    /// By whoever has the turn already.
    result<void> enter_in_turn(const proxy::admission& who, const stage_note& note) {
        json::object record{{"stage", note.stage}, {"of", note.of}, {"by", note.by}};
        if (!note.why.empty()) {
            record["why"] = "fell back: " + note.why;
        }
        const auto took = owner_.let_in(who, std::move(record));
        return took ? result<void>() : took.error();
    }

    void note(std::string_view state, json::object fields) override {
        fields["state"] = state;
        (void)owner_.append(journal_kinds::stages, std::move(fields));
        if (state == "over") {
            owner_.around_.engine.read_load(owner_.id_, false);
            const std::lock_guard guard(owner_.mutex_);
            owner_.is_staging_ = false;
        }
    }

    guard_verdict probe(const guard_config& guard, const std::atomic<bool>& stopped) override {
        const limits until{clock::now() + guard.timeout, &stopped};
        return guard.kind == guard_kind::sql ? ask_server(guard, until) : run_command(guard, until);
    }

    void let_go() override { clients_.clear(); }

private:
    guard_verdict ask_server(const guard_config& guard, const limits& until) {
        const config_pointer service = owner_.settings();
        const std::size_t route = owner_.traffic_.current_route().backend;
        const backend_config* backend = guard.backend.empty()
                                            ? &service->backends[route]
                                            : service->find_backend(guard.backend);
        if (backend == nullptr) {
            return guard_meter::judge_failure(guard, "backend " + guard.backend + " is gone");
        }
        auto rows = ask(*service, *backend, guard.text, until);
        if (!rows) {
            return guard_meter::judge_failure(guard, rows.error().text);
        }
        if (rows->size() == 0 || rows->columns() == 0) {
            return guard_meter::judge_failure(guard, "the statement returned no row");
        }
        return guard_meter::judge_value(guard, std::string(rows->text(0, 0)));
    }

    step_result<pg_rows>
    ask(const service_config& service,
        const backend_config& backend,
        const std::string& statement,
        const limits& until) {
        auto open = clients_.find(backend.name);
        if (open == clients_.end() || !open->second.is_usable()) {
            clients_.erase(backend.name);
            auto client = pg_client::connect(
                {.server = backend.name,
                 .address = backend.address,
                 .admin = service.admin,
                 .application_name = "pgsluice:" + service.name,
                 .options = "-c default_transaction_read_only=on",
                 .tls = backend.tls},
                until
            );
            if (!client) {
                return client.error();
            }
            open = clients_.emplace(backend.name, std::move(*client)).first;
        }
        return open->second.query(statement, until);
    }

    guard_verdict run_command(const guard_config& guard, const limits& until) {
        const auto ran = run_hook({"it", guard.text, {{"PGSLUICE_SERVICE", owner_.name()}}}, until);
        if (!ran) {
            return guard_meter::judge_failure(guard, ran.error().text);
        }
        return {.is_ok = true, .on_fail = guard.on_fail, .text = guard.label() + ": exit code 0"};
    }

    service_operations& owner_;
    std::map<std::string, pg_client, std::less<>> clients_;  ///< of the thread that probes
};

/// What would change the set, or what the set is about, beside the stages.
bool service_operations::is_barred_by_stages(std::string_view name) const {
    return is_staging_ &&
           (name == "admit" || name == "cutover" || name == "retarget" || name == "rollback");
}

std::shared_ptr<stages_run> service_operations::stages_under_way() const {
    const std::lock_guard guard(mutex_);
    return is_staging_ ? stages_ : nullptr;
}

outcome service_operations::begin_stages(const request& given) {
    const auto own = begin("admit");
    if (!own) {
        return busy();
    }
    const std::string file = given.text("stages");
    stages_outcome read = load_stages(file, *settings());
    if (!read.value) {
        json::array errors;
        for (const config_problem& problem : read.errors) {
            errors.emplace_back(format_problem(file, problem));
        }
        const std::string first(errors.front().as_string());
        return outcome::of(exit_code::usage, first, {{"errors", std::move(errors)}});
    }
    const std::size_t of = read.value->stages.size();
    auto begun = append(
        journal_kinds::stages,
        {{"state", "begun"}, {"of", of}, {"file", file}, {"by", given.asked_by}}
    );
    if (!begun) {
        return outcome::of(exit_code::failed, begun.error().message);
    }
    if (!stages_door_) {
        stages_door_ = std::make_shared<stages_door>(*this);
    }
    const proxy::admission before = around_.engine.admitted(id_);
    const proxy::admission first = read.value->admission_of(0);
    auto run =
        std::make_shared<stages_run>(std::move(*read.value), *stages_door_, before, given.asked_by);
    around_.engine.read_load(id_, true);
    const auto entered = stages_door_->enter_in_turn(first, {1, of, given.asked_by, {}});
    if (!entered) {
        stages_door_->note("over", {{"outcome", "failed"}});
        return outcome::of(exit_code::failed, entered.error().message);
    }
    run->begin();
    std::shared_ptr<stages_run> last;
    {
        const std::lock_guard guard(mutex_);
        last = std::exchange(stages_, run);
        is_staging_ = true;
    }
    last.reset();  // joins its thread
    run->start_thread();
    json::object result{{"gate", gate_word()}};
    for (auto& field : admission_json(traffic_.sessions())) {
        result[field.key()] = std::move(field.value());
    }
    result["stages"] = run->status();
    return outcome::done(std::move(result));
}

/// A file of stages that split what the service's clients do now.
outcome service_operations::propose_stages(const request& given) {
    const std::string by = given.text("by", "sessions");
    const auto loads = loads_of(traffic_.sessions(), by);
    const auto parts = split_load(loads, planned_stages(given));
    if (parts.empty()) {
        return outcome::of(
            exit_code::refused, "service " + name() + " has no clients with " + by + " to split"
        );
    }
    json::array rows;
    for (const load_part& part : parts) {
        rows.push_back(
            {{"percent", part.percent},
             {"addresses", part.addresses},
             {"admit", json::array(part.tokens.begin(), part.tokens.end())}}
        );
    }
    return outcome::done({{"by", by}, {"parts", std::move(rows)}, {"file", stages_file(parts, by)}}
    );
}

outcome service_operations::change_stages(const request& given) {
    const auto run = stages_under_way();
    if (!run) {
        return outcome::of(exit_code::refused, "service " + name() + " admits nobody in stages");
    }
    if (given.has("pause")) {
        return run->pause(given.asked_by);
    }
    return given.has("resume") ? run->resume(given.asked_by) : run->skip(given.asked_by);
}

void service_operations::stages_were_cut(const stages_record& found) {
    spdlog::warn(
        "stages_over service={} stage={} of={} why=\"pgsluice was restarted; the set stays\"",
        name(),
        found.stage,
        found.of
    );
    json::object record{
        {"state", "over"},
        {"outcome", "restart"},
        {"stage", found.stage},
        {"of", found.of},
        {"by", found.by}};
    (void)append(journal_kinds::stages, record);
    record["why"] = "pgsluice was restarted; the set stays";
    stages_cut_ = std::move(record);
}

json::value service_operations::stages_json() const {
    std::shared_ptr<stages_run> run;
    {
        const std::lock_guard guard(mutex_);
        run = stages_;
    }
    return run ? json::value(run->status()) : stages_cut_;
}

}  // namespace pgsluice::control
