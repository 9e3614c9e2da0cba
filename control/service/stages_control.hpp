#pragma once

#include "control/commands/outcome.hpp"
#include "control/service/admission_control.hpp"
#include "control/service/canary_control.hpp"
#include "control/service/service_core.hpp"

#include <boost/json/value.hpp>

#include <memory>
#include <string>

namespace pgsluice::control {

class stages_door;
class stages_run;
struct stages_plan;

/// Runs of stages of one service: `admit --stages` and `canary --stages`.
class stages_control {
public:
    stages_control(service_core& core, admission_control& admission, canary_control& canary)
        : core_(core), admission_(admission), canary_(canary) {}

    /// The request begins a run or changes the one under way.
    static bool is_meant(const request& given);
    /// A run of stages, or what to do with the one under way.
    outcome run(const request& given);
    /// A file of stages that split what the service's clients do now.
    outcome propose(const request& given);

    /// Ends the run under way. Nothing when there is none.
    std::shared_ptr<stages_run> end(const std::string& how, const std::string& by);
    void stop();
    /// A crash ended a run; its last set is in force.
    void were_cut(const stages_record& found);
    /// As `status` has it.
    boost::json::value json() const;

private:
    outcome begin(const request& given);
    outcome start(stages_plan plan, std::unique_ptr<stages_door> door, const std::string& by);
    outcome change(const request& given);
    std::shared_ptr<stages_run> last() const;

    service_core& core_;
    admission_control& admission_;
    canary_control& canary_;
    boost::json::value cut_ = nullptr;  ///< what status tells of a run before this process
    std::shared_ptr<stages_run> last_;  ///< guarded by the core's mutex
};

}  // namespace pgsluice::control
