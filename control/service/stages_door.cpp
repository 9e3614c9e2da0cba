// A service as its runs of stages see it: what is read, asked and run for their guards, and the two
// kinds of sets that they change.
#include "control/service/stages_door.hpp"

#include "control/base/hook.hpp"

#include <boost/json/value.hpp>

namespace pgsluice::control {
namespace {

namespace json = boost::json;
using clock = limits::clock;

}  // namespace

service_reading stages_door::read() {
    const proxy::service_progress now = core_.traffic.progress();
    service_reading reading{
        .at = clock::now(), .held = now.held, .gate_open = core_.traffic.gate_open()};
    judge_by(core_.engine.load(core_.id), now, reading);
    return reading;
}

result<void> stages_door::enter(const stage_note& note) {
    const auto own = core_.lock.begin(operation::stage_change);
    if (!own) {
        return failure{"55006", core_.lock.busy().error, {}, {}};
    }
    return enter_holding_lock(note);
}

result<void> stages_door::enter_holding_lock(const stage_note& note) {
    json::object record{{"stage", note.stage}, {"of", note.of}, {"by", note.by}};
    if (!note.why.empty()) {
        record["why"] = "fell back: " + note.why;
    }
    return put_in_force(note.stage, std::move(record));
}

void stages_door::note(std::string_view state, json::object fields) {
    fields["state"] = state;
    (void)core_.append(journal_kinds::stages, std::move(fields));
    if (state == "over") {
        core_.engine.read_load(core_.id, false);
        core_.lock.set_stages(std::nullopt);
    }
}

guard_verdict stages_door::probe(const guard_config& guard, const std::atomic<bool>& stopped) {
    const limits until{clock::now() + guard.timeout, &stopped};
    return guard.kind == guard_kind::sql ? ask_server(guard, until) : run_command(guard, until);
}

guard_verdict stages_door::ask_server(const guard_config& guard, const limits& until) {
    const auto service = core_.settings();
    const std::size_t route = core_.traffic.current_route().backend;
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

step_result<pg_rows> stages_door::ask(
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

guard_verdict stages_door::run_command(const guard_config& guard, const limits& until) {
    const auto ran = run_hook({"it", guard.text, {{"PGSLUICE_SERVICE", core_.name()}}}, until);
    if (!ran) {
        return guard_meter::judge_failure(guard, ran.error().text);
    }
    return {.is_ok = true, .on_fail = guard.on_fail, .text = guard.label() + ": exit code 0"};
}

// --- whom the gate admits

admission_door::admission_door(
    service_core& core, admission_control& admission, const stages_plan& plan
)
    : stages_door(core), admission_(admission), who_{core.engine.admitted(core.id)} {
    for (std::size_t i = 0; i < plan.stages.size(); ++i) {
        who_.push_back(plan.admission_of(i));
    }
}

result<void> admission_door::put_in_force(std::size_t stage, json::object record) {
    const auto took = admission_.put_in_force(who_[stage], std::move(record));
    return took ? result<void>() : took.error();
}

/// Clients that the canary's server turns back have the route, and get what they ask for.
void admission_door::judge_by(
    const proxy::service_load& load, const proxy::service_progress& now, service_reading& reading
) const {
    reading.load = load.route;
    reading.load.add(load.canary);
    reading.backend_connections = now.sessions;
}

// --- whose clients go elsewhere

canary_door::canary_door(
    service_core& core, canary_control& canary, const stages_plan& plan, const canary_record& wanted
)
    : stages_door(core), canary_(canary), canaries_{canary.now()} {
    for (const stage_config& each : plan.stages) {
        canaries_.push_back(wanted);
        canaries_.back().from = each.set;
    }
}

result<void> canary_door::put_in_force(std::size_t stage, json::object record) {
    return canary_.put_in_force(canaries_[stage], std::move(record));
}

void canary_door::judge_by(
    const proxy::service_load& load, const proxy::service_progress& now, service_reading& reading
) const {
    reading.load = load.canary;
    reading.load.add(load.turned_back);
    reading.beside = load.route;
    reading.backend_connections = now.on_canary;
}

}  // namespace pgsluice::control
