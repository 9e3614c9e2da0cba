// Names of a session's phases, as status and the console show them.

#include "proxy/model/session_info.hpp"

namespace pgsluice::proxy {

std::string_view to_string(session_phase phase) noexcept {
    switch (phase) {
    case session_phase::startup:
        return "startup";
    case session_phase::held:
        return "held";
    case session_phase::login:
        return "login";
    case session_phase::idle:
        return "idle";
    case session_phase::active:
        return "active";
    case session_phase::in_transaction:
        return "in_transaction";
    case session_phase::parked:
        return "parked";
    case session_phase::moving:
        return "moving";
    }
    return "unknown";
}

}  // namespace pgsluice::proxy
