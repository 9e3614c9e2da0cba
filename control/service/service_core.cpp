// What the features of one service share: settings, journal, gate and waits.
#include "control/service/service_core.hpp"

#include "control/base/words.hpp"
#include "control/journal/service_state.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdlib>

namespace pgsluice::control {
namespace {

namespace json = boost::json;
using clock = limits::clock;
using std::chrono::milliseconds;

constexpr milliseconds progress_every{200};

bool has_followed(const proxy::service_progress& p) {
    return p.to_follow == 0;
}

}  // namespace

service_core::service_core(
    service_surroundings around, std::size_t index, config_pointer settings, mode initial
)
    : engine(around.engine), log(around.log), servers(std::move(around.servers)), id(index),
      traffic(engine, index, settings->name, initial),
      lock(
          settings->name,
          {.interrupt = [this] { traffic.interrupt(); },
           .settle =
               [this] {
                   traffic.settle();
               }}
      ),
      settings_(std::move(settings)) {}

service_core::config_pointer service_core::settings() const {
    const std::lock_guard guard(mutex);
    return settings_;
}

void service_core::set_settings(config_pointer settings) {
    const std::lock_guard guard(mutex);
    settings_ = std::move(settings);
}

const std::string& service_core::route_of(const service_config& service) const {
    return service.backends[traffic.current_route().backend].name;
}

result<void> service_core::append(std::string_view kind, json::object payload) {
    const auto appended = log.append(name(), kind, std::move(payload));
    if (appended) {
        return {};
    }
    spdlog::error("journal_failed kind={} reason=\"{}\"", kind, appended.error().message);
    if (log.is_broken()) {
        // Nobody knows what is on the disk; only a restart reads the truth.
        std::abort();
    }
    return appended.error();
}

/// Clients that wait for a full disk help nobody. Without the record a restart would begin paused.
void service_core::reopen(std::string_view why, std::string_view by) {
    json::object record{{"why", why}};
    if (!by.empty()) {
        record["by"] = by;
    }
    (void)append(journal_kinds::resume, std::move(record));
    traffic.open_gate();
}

std::string_view service_core::gate_word() const {
    const proxy::address_set set = engine.admitted(id).set;
    if (traffic.gate_open() && !set.is_empty()) {
        return set.is_all() ? "open" : "staged";
    }
    return all_parked(traffic.progress()) ? "paused" : "draining";
}

void service_core::wait_followed(
    std::string_view step, clock::time_point deadline, const progress_sink& tell
) {
    const auto started = clock::now();
    bool is_done = false;
    while (!is_done && !aborted() && clock::now() < deadline) {
        is_done = traffic.wait(has_followed, std::min(deadline, clock::now() + progress_every));
        if (!is_done) {
            const auto waited = std::chrono::duration_cast<milliseconds>(clock::now() - started);
            tell(
                {{"step", step},
                 {"text", counted(traffic.progress().to_follow, "session") + " on the way"},
                 {"elapsed_ms", waited.count()}}
            );
        }
    }
}

}  // namespace pgsluice::control
