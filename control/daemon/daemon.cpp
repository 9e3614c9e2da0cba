// Start, stop and reload of the whole, and which part answers which command.
#include "control/daemon/daemon.hpp"

#include "control/base/words.hpp"
#include "control/config/resolve.hpp"
#include "control/config/user_files.hpp"
#include "control/daemon/logging.hpp"
#include "control/socket/unix_socket.hpp"

#include <boost/json/array.hpp>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <optional>
#include <unistd.h>

namespace pgsluice::control {
namespace {

namespace json = boost::json;

/// A journal that has grown beyond this at start is rewritten to its last records.
constexpr std::size_t journal_bytes_max = 4UL * 1024 * 1024;
constexpr std::size_t journal_records_kept = 1000;

std::uint32_t worker_count(const config& settings) {
    return settings.workers != 0 ? settings.workers
                                 : std::max(1U, std::thread::hardware_concurrency());
}

failure not_a_backend(const service_config& service, const std::string& backend) {
    return failure{
        "22023",
        "the journal names backend \"" + backend + "\", which service \"" + service.name +
            "\" does not have in the configuration",
        {},
        "put it back under services." + service.name + ".backends"};
}

void log_changes(const std::vector<config_change>& changes) {
    for (const config_change& change : changes) {
        spdlog::log(
            change.needs_restart ? spdlog::level::warn : spdlog::level::info,
            "config_changed key={} before=\"{}\" after=\"{}\" needs_restart={}",
            change.key,
            change.before,
            change.after,
            change.needs_restart
        );
    }
}

json::array change_names(const std::vector<config_change>& changes, bool needs_restart) {
    json::array names;
    for (const config_change& change : changes) {
        if (change.needs_restart == needs_restart) {
            names.emplace_back(change.key);
        }
    }
    return names;
}

}  // namespace

// --- start and stop

result<std::unique_ptr<daemon>> daemon::start(start_arguments arguments) {
    std::unique_ptr<daemon> made(new daemon(std::move(arguments)));
    if (auto opened = made->open_journal(); !opened) {
        return opened.error();
    }
    // Listening comes first, so that whoever reaches a service can also give commands: until the
    // services are there, commands wait.
    const std::string& path = made->arguments_.settings.control.socket;
    auto listener = listen_control(path);
    if (!listener) {
        return listener.error();
    }
    if (auto started = made->start_services(); !started) {
        ::unlink(path.c_str());
        return started.error();
    }
    daemon* self = made.get();
    auto socket = control_socket::start(
        path,
        std::move(*listener),
        [self](const request& given, const progress_sink& tell) { return self->run(given, tell); }
    );
    if (!socket) {
        return socket.error();
    }
    made->socket_ = std::move(*socket);
    made->watch_traffic();
    made->console_threads_.start();
    made->watch_names();
    return made;
}

daemon::~daemon() {
    is_ending_ = true;
    names_.reset();
    for (const auto& service : services_) {
        service->stop();
    }
    if (winding_down_.joinable()) {
        winding_down_.join();
    }
    socket_.reset();
    console_threads_.stop();
    traffic_.reset();
    for (const auto& lookup : secrets_) {
        if (lookup) {
            lookup->stop();
        }
    }
    for (std::thread& recovery : recoveries_) {
        recovery.join();
    }
    engine_.stop();
}

result<void> daemon::open_journal() {
    auto opened = journal::open(arguments_.settings.control.state_dir);
    if (!opened) {
        return opened.error();
    }
    log_ = std::move(*opened);
    const auto salt_key = salt_key_in(arguments_.settings.control.state_dir);
    if (!salt_key) {
        return salt_key.error();
    }
    salt_key_ = *salt_key;
    if (log_->torn_bytes() > 0) {
        spdlog::warn(
            "journal_torn bytes={} (an append that a crash cut short)", log_->torn_bytes()
        );
    }
    auto states = replay(log_->replayed());
    if (!states) {
        return states.error();
    }
    states_ = std::move(*states);
    if (log_->size_bytes() > journal_bytes_max) {
        auto kept = compact(log_->replayed(), journal_records_kept);
        if (auto done = kept ? log_->rewrite(std::move(*kept)) : kept.error(); !done) {
            return done;
        }
        spdlog::info("journal_compacted bytes={}", log_->size_bytes());
    }
    return {};
}

/// The service's side as the journal knows it, or, at its first start, as the configuration says.
result<service_state> daemon::state_of(const service_config& service) {
    service_state& state = states_[service.name];
    if (state.backend.empty()) {
        state.backend = service.route;
        state.generation = 1;
        boost::json::object record{{"backend", state.backend}, {"generation", state.generation}};
        if (service.access == first_access::read_only) {
            state.read_only = {.state = read_only_state::on};
            record["access"] = "read-only";
        }
        const auto noted = log_->append(service.name, journal_kinds::route, std::move(record));
        if (!noted) {
            return noted.error();
        }
        state.canary = configured_canary(service.canary);
        if (state.canary.is_on()) {
            auto begun = encode_canary(state.canary);
            const auto done = log_->append(service.name, journal_kinds::canary, std::move(begun));
            if (!done) {
                return done.error();
            }
        }
    }
    for (const std::string& backend :
         {state.backend,
          state.unfinished ? state.unfinished->begun.from : state.backend,
          state.unfinished ? state.unfinished->begun.to : state.backend,
          state.canary.is_on() ? state.canary.backend : state.backend}) {
        if (service.find_backend(backend) == nullptr) {
            return not_a_backend(service, backend);
        }
    }
    if (state.backend != service.route) {
        spdlog::warn(
            "route_differs service={} journal={} configuration={} (the journal counts)",
            service.name,
            state.backend,
            service.route
        );
    }
    return state;
}

result<proxy::engine::service_start> daemon::start_of(const service_config& service) {
    const auto state = state_of(service);
    if (!state) {
        return state.error();
    }
    auto resolved = resolve_service(
        service, arguments_.settings.testing, salt_key_, askers_of(service, in_force_.size())
    );
    if (!resolved) {
        return resolved.error();
    }
    for (const std::string& text : resolved->unresolved) {
        spdlog::warn("backend_unresolved service={} what=\"{}\"", service.name, text);
    }
    return proxy::engine::service_start{
        .settings = std::move(resolved->settings),
        .at = {backend_index(service, state->backend), state->generation},
        .gate_open = initial_mode(*state) == mode::serving,
        .admitted = state->admitted,
        .access = state->read_only.state == read_only_state::on ? state->read_only.access()
                                                                : proxy::forced_access::none,
        .takes_clients = state->takes_clients,
        .canary = state->canary.route_in(service)};
}

result<void> daemon::start_services() {
    const config& settings = arguments_.settings;
    std::vector<proxy::engine::service_start> starts;
    for (const service_config& service : settings.services) {
        auto start = start_of(service);
        if (!start) {
            return start.error();
        }
        in_force_.push_back({.settings = start->settings});
        starts.push_back(std::move(*start));
    }
    const std::uint32_t workers = worker_count(settings);
    if (auto started = engine_.start(workers, std::move(starts)); !started) {
        return started;
    }
    for (const service_config& service : settings.services) {
        const service_state& state = states_[service.name];
        auto& added = services_.emplace_back(std::make_unique<control::service>(
            control::service::surroundings{engine_, *log_, arguments_.servers},
            services_.size(),
            std::make_shared<const service_config>(service),
            state
        ));
        spdlog::info(
            "service_started name={} route={} generation={} mode={} admitted=\"{}\" workers={}",
            service.name,
            state.backend,
            state.generation,
            to_string(initial_mode(state)),
            fmt::join(state.admitted.set.tokens(), " "),
            workers
        );
        if (state.stages) {
            added->stages().were_cut(*state.stages);
        }
        if (state.unfinished || state.read_only.state != read_only_state::off) {
            recoveries_.emplace_back([&state, to = added.get()] { to->recover(state); });
        }
    }
    return {};
}

// --- commands

result<service*> daemon::find_service(const std::string& name) {
    std::vector<std::string> names;
    for (const auto& service : services_) {
        names.push_back(service->name());
        if (names.back() == name || (name.empty() && services_.size() == 1)) {
            return service.get();
        }
    }
    const std::vector<std::string_view> views(names.begin(), names.end());
    return failure{
        "22023",
        (name.empty() ? "there are several services, expected --service "
                      : "there is no service \"" + name + "\", expected ") +
            one_of(views) + did_you_mean(name, views),
        {},
        {}};
}

outcome daemon::run(const request& given, const progress_sink& tell) {
    const bool is_change = given.what->id != command_id::status &&
                           given.what->id != command_id::sessions &&
                           given.what->id != command_id::events;
    if (is_change) {
        spdlog::info(
            "command name={} by={} request={}",
            given.what->name,
            given.asked_by,
            format_request(given)
        );
    }
    const outcome ended = run_on_service(given, tell);
    if (is_change) {
        spdlog::info(
            "command_ended name={} exit={} error=\"{}\"",
            given.what->name,
            static_cast<int>(ended.exit),
            ended.error
        );
    }
    return ended;
}

outcome daemon::run_on_service(const request& given, const progress_sink& tell) {
    control::service* service = nullptr;
    if (given.what->needs_service || !given.service.empty()) {
        const auto found = find_service(given.service);
        if (!found) {
            return outcome::of(exit_code::usage, found.error().message);
        }
        service = *found;
    }
    switch (given.what->id) {
    case command_id::status:
        return status(given);
    case command_id::sessions:
        return service->sessions().sessions(given);
    case command_id::pause:
        return service->pause().pause(given, tell);
    case command_id::resume:
        return service->pause().resume(given.asked_by);
    case command_id::retarget:
        return service->cutover().retarget(given, tell);
    case command_id::cutover:
        return service->cutover().cutover(given, tell);
    case command_id::rollback:
        return service->cutover().rollback(given, tell);
    case command_id::preflight:
        return service->cutover().preflight(given);
    case command_id::drain:
        return service->sessions().drain(given, tell);
    case command_id::kill:
        return service->sessions().kill(given);
    case command_id::reconnect:
        return service->sessions().reconnect();
    case command_id::canary:
        return service->canary(given, tell);
    case command_id::wait_close:
        return service->sessions().wait_close(given, tell);
    case command_id::disable:
        return service->sessions().take_clients(false, given.asked_by);
    case command_id::enable:
        return service->sessions().take_clients(true, given.asked_by);
    case command_id::readonly:
        return service->read_only().read_only(given, tell);
    case command_id::events:
        return events(given);
    case command_id::abort:
        return service->abort(given.asked_by);
    case command_id::admit:
        return service->admit(given);
    case command_id::reload:
        return reload();
    case command_id::shutdown:
        return shut_down(given.has("drain"), tell);
    }
    return outcome::of(exit_code::usage, "not in this version");
}

outcome daemon::reload() {
    const std::lock_guard guard(reload_mutex_);
    if (arguments_.file.empty()) {
        return outcome::of(exit_code::refused, "pgsluice was started without a file");
    }
    const config_outcome read = load_config(arguments_.file);
    if (!read.value) {
        json::array errors;
        for (const config_problem& problem : read.errors) {
            errors.emplace_back(format_problem(arguments_.file, problem));
        }
        const std::string first(errors.front().as_string());
        return outcome::of(exit_code::usage, first, {{"errors", std::move(errors)}});
    }
    const auto changes = config_changes(arguments_.settings, *read.value);
    config merged = reloaded(arguments_.settings, *read.value);
    std::vector<std::shared_ptr<const proxy::service_settings>> resolved;
    for (const service_config& service : merged.services) {
        auto one = resolve_service(
            service, merged.testing, salt_key_, askers_of(service, resolved.size())
        );
        if (!one) {
            return outcome::of(exit_code::failed, one.error().message);
        }
        resolved.push_back(std::move(one->settings));
    }
    for (std::size_t i = 0; i < services_.size(); ++i) {
        const outcome applied = services_[i]->apply(
            std::make_shared<const service_config>(merged.services[i]), resolved[i]
        );
        if (!applied.is_done()) {
            return applied;
        }
        in_force_[i].settings = std::move(resolved[i]);
    }
    set_up_logging(merged.log);
    arguments_.settings = std::move(merged);
    log_changes(changes);
    return outcome::done(
        {{"applied", change_names(changes, false)}, {"needs_restart", change_names(changes, true)}}
    );
}

}  // namespace pgsluice::control
