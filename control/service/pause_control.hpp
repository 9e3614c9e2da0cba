#pragma once

#include "control/commands/outcome.hpp"
#include "control/service/service_core.hpp"

#include <vector>

namespace pgsluice::control {

/// `pause` and `resume` of one service.
class pause_control {
public:
    explicit pause_control(service_core& core) : core_(core) {}

    outcome pause(const request& given, const progress_sink& tell);
    outcome resume(const std::string& by);

private:
    outcome park_all(const request& given, bool was_open, const progress_sink& tell);
    outcome is_late(const request& given, bool was_open);
    outcome end_blockers(const std::vector<proxy::session_info>& blockers, bool was_open);
    outcome stand(boost::json::object result);

    service_core& core_;
};

}  // namespace pgsluice::control
