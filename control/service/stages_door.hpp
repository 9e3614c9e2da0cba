#pragma once

#include "control/postgres/pg_client.hpp"
#include "control/service/admission_control.hpp"
#include "control/service/canary_control.hpp"
#include "control/stages/run.hpp"

#include <map>

namespace pgsluice::control {

/// What the run's guards read, and what its stages do; those that derive know what a stage changes.
/// It takes the service's operation lock for each change.
class stages_door : public staged_service {
public:
    service_reading read() final;
    result<void> enter(const stage_note& note) final;
    /// By whoever holds the operation lock already.
    result<void> enter_holding_lock(const stage_note& note);
    void note(std::string_view state, boost::json::object fields) final;
    guard_verdict probe(const guard_config& guard, const std::atomic<bool>& stopped) final;
    void let_go() final { clients_.clear(); }

protected:
    explicit stages_door(service_core& core) : core_(core) {}

    /// Journals the stage's set (of 0: what stood before the run) with what else `record` holds,
    /// and lets it take effect.
    virtual result<void> put_in_force(std::size_t stage, boost::json::object record) = 0;
    /// Which part of what the service's clients get is about this run.
    virtual void judge_by(
        const proxy::service_load& load,
        const proxy::service_progress& now,
        service_reading& reading
    ) const = 0;

    service_core& core_;

private:
    guard_verdict ask_server(const guard_config& guard, const limits& until);
    step_result<pg_rows>
    ask(const service_config& service,
        const backend_config& backend,
        const std::string& statement,
        const limits& until);
    guard_verdict run_command(const guard_config& guard, const limits& until);

    std::map<std::string, pg_client, std::less<>> clients_;  ///< of the thread that probes
};

/// `admit --stages`: the sets are whom the gate admits.
class admission_door final : public stages_door {
public:
    admission_door(service_core& core, admission_control& admission, const stages_plan& plan);

private:
    result<void> put_in_force(std::size_t stage, boost::json::object record) override;
    void judge_by(
        const proxy::service_load& load,
        const proxy::service_progress& now,
        service_reading& reading
    ) const override;

    admission_control& admission_;
    std::vector<proxy::admission> who_;  ///< by stage; first, what stood before the run
};

/// `canary --stages`: the sets are whose clients go to another backend than the route. Guards judge
/// what is answered there, beside what the route answers.
class canary_door final : public stages_door {
public:
    /// `wanted`: the backend and the access; its set does not count.
    canary_door(
        service_core& core,
        canary_control& canary,
        const stages_plan& plan,
        const canary_record& wanted
    );

private:
    result<void> put_in_force(std::size_t stage, boost::json::object record) override;
    void judge_by(
        const proxy::service_load& load,
        const proxy::service_progress& now,
        service_reading& reading
    ) const override;

    canary_control& canary_;
    std::vector<canary_record> canaries_;  ///< by stage; first, what stood before the run
};

}  // namespace pgsluice::control
