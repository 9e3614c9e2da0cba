#pragma once

#include "control/commands/outcome.hpp"
#include "control/journal/service_state.hpp"
#include "control/service/canary_control.hpp"
#include "control/service/read_only_control.hpp"
#include "control/service/service_core.hpp"

#include <boost/json/value.hpp>

#include <memory>
#include <optional>
#include <string>

namespace pgsluice::control {

/// What moves all sessions of one service to another backend: cutover, rollback and retarget, their
/// dry run and their preflight.
class cutover_control {
public:
    cutover_control(
        service_core& core,
        const canary_control& canary,
        read_only_control& read_only,
        const service_state& found
    )
        : core_(core), canary_(canary), read_only_(read_only), fences_(found.fences),
          times_(found.times), previous_(found.previous) {}

    outcome retarget(const request& given, const progress_sink& tell);
    outcome cutover(const request& given, const progress_sink& tell);
    outcome rollback(const request& given, const progress_sink& tell);
    outcome preflight(const request& given);

    /// Finishes what a crash interrupted; the gate was started closed. Blocks until it is open.
    void recover(const service_state& found);

    /// Of the last one: done, aborted, …; empty when there was none.
    std::string last_outcome() const;
    /// As `status` has it.
    boost::json::value json() const;

private:
    using config_pointer = service_core::config_pointer;
    class recorder;  ///< journal and audience of one cutover

    /// What `status` shows of the last cutover or retarget.
    struct cutover_view {
        std::string id, from, to, step, outcome;
        limits::clock::time_point started{}, ended{};
    };

    result<cutover_request> make_move(
        const config_pointer& service, const request& given, std::string_view to, bool retarget
    );
    std::unique_ptr<server_pair>
    make_servers(const config_pointer& service, const cutover_request& asked);
    cutover_report
    move(const cutover_request& asked, server_pair& servers, const progress_sink& tell);
    outcome attempt(
        const config_pointer& service,
        const request& given,
        cutover_request asked,
        std::unique_ptr<server_pair> servers,
        const progress_sink& tell
    );
    std::optional<outcome> read_plan(const request& given, config_pointer& service) const;
    bool
    rest(std::chrono::milliseconds how_long, const std::string& why, const progress_sink& tell);
    /// The cutover or its dry run, by whoever holds the operation lock.
    outcome cutover_to(
        const config_pointer& service,
        std::string_view to,
        const request& given,
        const progress_sink& tell
    );
    cutover_world world(server_pair& servers, recorder& records);
    std::optional<outcome> refused_move() const;
    void show(const cutover_request& asked);
    void end(const cutover_request& asked, const cutover_report& report);

    service_core& core_;
    const canary_control& canary_;
    read_only_control& read_only_;
    // guarded by the core's mutex
    std::optional<cutover_view> last_;
    std::optional<fence_memory> fence_left_;  ///< see cutover_report
    fence_memories fences_;                   ///< that earlier cutovers left
    step_times times_;                        ///< for the next dry run
    std::string previous_;  ///< where a rollback leads; empty when there was no cutover
};

}  // namespace pgsluice::control
