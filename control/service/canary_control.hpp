#pragma once

#include "control/commands/outcome.hpp"
#include "control/records/canary.hpp"
#include "control/service/service_core.hpp"

#include <boost/json/value.hpp>

#include <optional>
#include <vector>

namespace pgsluice::control {

/// Which clients of one service are on another backend than the route.
class canary_control {
public:
    canary_control(service_core& core, canary_record found) : core_(core), now_(std::move(found)) {}

    /// `canary RANGES`: at once.
    outcome canary(const request& given, const progress_sink& tell);

    canary_record now() const;
    /// What the command asks for, or what is wrong with it here.
    result<canary_record> wanted(const request& given) const;
    /// What is wrong with the backend that the command names; by whoever holds the operation lock.
    std::optional<outcome> refused_target(const result<canary_record>& wanted) const;
    /// Journals the canary, with what else `record` holds, and lets it take effect; by whoever
    /// holds the operation lock. Live sessions begin to move.
    result<void> put_in_force(const canary_record& wanted, boost::json::object record);
    /// Why all sessions cannot go to another backend now.
    std::optional<outcome> refused_move() const;
    /// As `status` has it.
    boost::json::value json(const std::vector<proxy::session_info>& sessions) const;

private:
    outcome answer(const canary_record& now, std::chrono::milliseconds waited);

    service_core& core_;
    canary_record now_;  ///< as last journaled; guarded by the core's mutex
};

}  // namespace pgsluice::control
