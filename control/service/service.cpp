// One service: what its parts do together, what ends them, and its status.
#include "control/service/service.hpp"

#include "control/commands/argument_rules.hpp"
#include "control/service/report_json.hpp"
#include "control/stages/run.hpp"

#include <boost/json/value.hpp>

#include <map>

namespace pgsluice::control {
namespace {

namespace json = boost::json;

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

mode initial_mode(const service_state& found) {
    return found.unfinished ? mode::recovering : found.is_paused ? mode::held : mode::serving;
}

service::service(
    surroundings around, std::size_t id, config_pointer settings, const service_state& found
)
    : core_(std::move(around), id, std::move(settings), initial_mode(found)), pause_(core_),
      admission_(core_), canary_(core_, found.canary), read_only_(core_, found.read_only),
      cutover_(core_, canary_, read_only_, found), sessions_(core_, found.takes_clients),
      stages_(core_, admission_, canary_) {}

outcome service::admit(const request& given) {
    if (given.text("RANGES") == plan_word) {
        return stages_.propose(given);
    }
    return stages_control::is_meant(given) ? stages_.run(given) : admission_.admit(given);
}

outcome service::canary(const request& given, const progress_sink& tell) {
    return stages_control::is_meant(given) ? stages_.run(given) : canary_.canary(given, tell);
}

outcome service::abort(const std::string& by) {
    const operation what = core_.lock.running();
    if (what == operation::none || what == operation::stage_change) {
        if (const auto ended = stages_.end("aborted", by)) {
            return outcome::done({{"aborted", "stages"}, {"stages", ended->status()}});
        }
    }
    if (what == operation::none || !core_.lock.interrupt_and_wait("abort")) {
        return outcome::of(exit_code::refused, "nothing is running that could be aborted");
    }
    const std::string name(to_string(what));
    const std::string ended = cutover_.last_outcome();
    if (is_move(what) && !ended.empty() && ended != "aborted") {
        return outcome::of(
            exit_code::refused, "the " + name + " was past its commit point: " + ended
        );
    }
    return outcome::done({{"aborted", name}});
}

void service::stop() {
    core_.lock.stop();
    stages_.stop();
    core_.lock.interrupt_and_wait("shutdown");
}

void service::recover(const service_state& found) {
    if (found.unfinished) {
        cutover_.recover(found);
    }
    read_only_.recover();
}

outcome
service::apply(config_pointer settings, std::shared_ptr<const proxy::service_settings> resolved) {
    const auto own = core_.lock.begin(operation::reload);
    if (!own) {
        return core_.lock.busy();
    }
    core_.engine.apply(core_.id, std::move(resolved));
    core_.set_settings(std::move(settings));
    return outcome::done({});
}

bool service::apply_addresses(std::shared_ptr<const proxy::service_settings> resolved) {
    // An operation that begins meanwhile waits for this; it would be refused as busy otherwise.
    return core_.lock.while_idle([&] { core_.engine.apply(core_.id, std::move(resolved)); });
}

json::object service::status() {
    const config_pointer settings = core_.settings();
    const proxy::route route = core_.traffic.current_route();
    const auto sessions = core_.traffic.sessions();
    const bool is_read_only = read_only_.now().state == read_only_state::on;
    return {
        {"name", settings->name},
        {"route", settings->backends[route.backend].name},
        {"generation", route.generation},
        {"mode", to_string(core_.traffic.current_mode())},
        {"gate", core_.gate_word()},
        {"new_clients", sessions_.takes_clients() ? "accepted" : "refused"},
        {"admission", admission_.json(sessions)},
        {"stages", stages_.json()},
        {"canary", canary_.json(sessions)},
        {"access", is_read_only ? "read-only" : "read-write"},
        {"read_only", read_only_.json()},
        {"sessions", count_sessions(sessions)},
        {"backends", backends_json(*settings, sessions)},
        {"cutover", cutover_.json()},
    };
}

}  // namespace pgsluice::control
