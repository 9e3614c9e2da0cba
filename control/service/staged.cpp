// A service as its runs of stages see it: what is read, asked and run for their guards, and the two
// kinds of sets that they change.
#include "control/service/staged.hpp"

#include "control/base/hook.hpp"

#include <boost/json/value.hpp>

namespace pgsluice::control {
namespace {

namespace json = boost::json;
using clock = limits::clock;

}  // namespace

service_reading service_operations::stages_door::read() {
    const proxy::service_progress now = owner_.traffic_.progress();
    service_reading reading{
        .at = clock::now(), .held = now.held, .gate_open = owner_.traffic_.gate_open()};
    judge_by(owner_.around_.engine.load(owner_.id_), now, reading);
    return reading;
}

result<void> service_operations::stages_door::enter(const stage_note& note) {
    const auto own = owner_.begin(stage_change);
    if (!own) {
        return failure{"55006", owner_.busy().error, {}, {}};
    }
    return enter_in_turn(note);
}

result<void> service_operations::stages_door::enter_in_turn(const stage_note& note) {
    json::object record{{"stage", note.stage}, {"of", note.of}, {"by", note.by}};
    if (!note.why.empty()) {
        record["why"] = "fell back: " + note.why;
    }
    return put_in_force(note.stage, std::move(record));
}

void service_operations::stages_door::note(std::string_view state, json::object fields) {
    fields["state"] = state;
    (void)owner_.append(journal_kinds::stages, std::move(fields));
    if (state == "over") {
        owner_.around_.engine.read_load(owner_.id_, false);
        const std::lock_guard guard(owner_.mutex_);
        owner_.is_staging_ = false;
    }
}

guard_verdict service_operations::stages_door::probe(
    const guard_config& guard, const std::atomic<bool>& stopped
) {
    const limits until{clock::now() + guard.timeout, &stopped};
    return guard.kind == guard_kind::sql ? ask_server(guard, until) : run_command(guard, until);
}

guard_verdict
service_operations::stages_door::ask_server(const guard_config& guard, const limits& until) {
    const config_pointer service = owner_.settings();
    const std::size_t route = owner_.traffic_.current_route().backend;
    const backend_config* backend =
        guard.backend.empty() ? &service->backends[route] : service->find_backend(guard.backend);
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

step_result<pg_rows> service_operations::stages_door::ask(
    const service_config& service,
    const backend_config& backend,
    const std::string& statement,
    const limits& until
) {
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

guard_verdict
service_operations::stages_door::run_command(const guard_config& guard, const limits& until) {
    const auto ran = run_hook({"it", guard.text, {{"PGSLUICE_SERVICE", owner_.name()}}}, until);
    if (!ran) {
        return guard_meter::judge_failure(guard, ran.error().text);
    }
    return {.is_ok = true, .on_fail = guard.on_fail, .text = guard.label() + ": exit code 0"};
}

// --- whom the gate admits

service_operations::admission_door::admission_door(
    service_operations& owner, const stages_plan& plan
)
    : stages_door(owner), who_{owner.around_.engine.admitted(owner.id_)} {
    for (std::size_t i = 0; i < plan.stages.size(); ++i) {
        who_.push_back(plan.admission_of(i));
    }
}

result<void>
service_operations::admission_door::put_in_force(std::size_t stage, json::object record) {
    const auto took = owner_.let_in(who_[stage], std::move(record));
    return took ? result<void>() : took.error();
}

/// Clients that the canary's server turns back have the route, and get what they ask for.
void service_operations::admission_door::judge_by(
    const proxy::service_load& load, const proxy::service_progress& now, service_reading& reading
) const {
    reading.load = load.route;
    reading.load.add(load.canary);
    reading.backend_connections = now.sessions;
}

// --- whose clients go elsewhere

service_operations::canary_door::canary_door(
    service_operations& owner, const stages_plan& plan, const canary_record& wanted
)
    : stages_door(owner), canaries_{owner.canary_now()} {
    for (const stage_config& each : plan.stages) {
        canaries_.push_back(wanted);
        canaries_.back().from = each.set;
    }
}

result<void> service_operations::canary_door::put_in_force(std::size_t stage, json::object record) {
    return owner_.send_canary(canaries_[stage], std::move(record));
}

void service_operations::canary_door::judge_by(
    const proxy::service_load& load, const proxy::service_progress& now, service_reading& reading
) const {
    reading.load = load.canary;
    reading.load.add(load.turned_back);
    reading.beside = load.route;
    reading.backend_connections = now.on_canary;
}

}  // namespace pgsluice::control
