// What a service tells about itself.
#include "control/service/report_json.hpp"
#include "control/service/service.hpp"

#include <map>

namespace pgsluice::control {
namespace {

namespace json = boost::json;
using clock = limits::clock;

json::object
backends_json(const service_config& service, const std::vector<proxy::session_info>& sessions) {
    std::map<std::string_view, std::size_t> counts;
    for (const proxy::session_info& session : sessions) {
        ++counts[session.backend];
    }
    json::object backends;
    for (const backend_config& backend : service.backends) {
        backends[backend.name] = {
            {"sessions", counts[backend.name]}, {"address", backend.address.text()}};
    }
    return backends;
}

}  // namespace

json::value service_operations::cutover_json() const {
    const std::lock_guard guard(mutex_);
    if (!cutover_) {
        return nullptr;
    }
    const bool is_over = cutover_->ended != clock::time_point{};
    const auto elapsed = (is_over ? cutover_->ended : clock::now()) - cutover_->started;
    return {
        {"id", cutover_->id},
        {"from", cutover_->from},
        {"to", cutover_->to},
        {"step", cutover_->step},
        {"elapsed_ms", std::chrono::duration_cast<std::chrono::milliseconds>(elapsed).count()},
        {"outcome", cutover_->outcome},
    };
}

json::object service_operations::status() {
    const config_pointer service = settings();
    const proxy::route route = traffic_.current_route();
    const auto sessions = traffic_.sessions();
    return {
        {"name", service->name},
        {"route", service->backends[route.backend].name},
        {"generation", route.generation},
        {"mode", to_string(traffic_.current_mode())},
        {"gate", gate_word()},
        {"new_clients", takes_clients() ? "accepted" : "refused"},
        {"admission", admission_json(sessions)},
        {"stages", stages_json()},
        {"canary", canary_json(sessions)},
        {"access", read_only_now().state == read_only_state::on ? "read-only" : "read-write"},
        {"read_only", read_only_json()},
        {"sessions", count_sessions(sessions)},
        {"backends", backends_json(*service, sessions)},
        {"cutover", cutover_json()},
    };
}

outcome service_operations::sessions(const request& given) {
    return outcome::done(sessions_json(traffic_.sessions(), given.text("by")));
}

}  // namespace pgsluice::control
