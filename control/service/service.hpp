#pragma once

#include "control/commands/outcome.hpp"
#include "control/journal/service_state.hpp"
#include "control/service/admission_control.hpp"
#include "control/service/canary_control.hpp"
#include "control/service/cutover_control.hpp"
#include "control/service/pause_control.hpp"
#include "control/service/read_only_control.hpp"
#include "control/service/service_core.hpp"
#include "control/service/session_control.hpp"
#include "control/service/stages_control.hpp"

#include <functional>
#include <memory>
#include <string>

namespace pgsluice::control {

/// What the service does when it starts on what the journal holds.
mode initial_mode(const service_state& found);

/// One service: at most one operation at a time, each on the thread that asks for it. status(), the
/// two interruptions and the commands that its parts name come in from other threads meanwhile.
class service {
public:
    using config_pointer = service_core::config_pointer;
    using surroundings = service_surroundings;

    /// `found`: what the journal holds of it.
    service(
        surroundings around, std::size_t id, config_pointer settings, const service_state& found
    );

    std::string name() const { return core_.name(); }
    config_pointer settings() const { return core_.settings(); }

    pause_control& pause() { return pause_; }
    cutover_control& cutover() { return cutover_; }
    read_only_control& read_only() { return read_only_; }
    session_control& sessions() { return sessions_; }
    stages_control& stages() { return stages_; }

    /// A set, a run of stages, or what to do with the one under way. Refused while another
    /// operation runs; a pause that stands is none.
    outcome admit(const request& given);
    /// At once, or as a run of stages; see admit().
    outcome canary(const request& given, const progress_sink& tell);
    /// Ends the operation that runs; where none does, the stages that are under way.
    outcome abort(const std::string& by = {});
    boost::json::object status();

    /// Finishes what a crash interrupted. Blocks until it is done; waits for servers, too.
    void recover(const service_state& found);

    /// Swaps the configuration; refused while an operation runs.
    outcome apply(config_pointer settings, std::shared_ptr<const proxy::service_settings> resolved);
    /// Other addresses of the same servers; false, and nothing done, while an operation runs.
    bool apply_addresses(std::shared_ptr<const proxy::service_settings> resolved);

    /// Before the process ends: interrupts what runs, waits for its end and refuses everything new.
    void stop();

private:
    service_core core_;
    pause_control pause_;
    admission_control admission_;
    canary_control canary_;
    read_only_control read_only_;
    cutover_control cutover_;
    session_control sessions_;
    stages_control stages_;  ///< last: its thread uses the others
};

}  // namespace pgsluice::control
