#pragma once

#include "control/commands/outcome.hpp"
#include "control/service/service_core.hpp"
#include "proxy/access/admission.hpp"

#include <chrono>
#include <vector>

namespace pgsluice::control {

/// Which clients the open gate of one service admits.
class admission_control {
public:
    using milliseconds = std::chrono::duration<double, std::milli>;

    explicit admission_control(service_core& core) : core_(core) {}

    /// `admit RANGES`: a set, at once.
    outcome admit(const request& given);

    /// Journals the set, with what else `record` holds, and lets it take effect; by whoever holds
    /// the operation lock. Yields how long it took until every worker went by it.
    result<milliseconds> put_in_force(proxy::admission who, boost::json::object record);
    /// As `status` has it.
    boost::json::object json(const std::vector<proxy::session_info>& sessions) const;

private:
    boost::json::object admitted_json(milliseconds took);

    service_core& core_;
};

}  // namespace pgsluice::control
