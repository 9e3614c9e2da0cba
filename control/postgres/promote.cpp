// pg_promote(), or a command of the operator's. Both end when the server itself says that recovery
// is over.
#include "control/postgres/promote.hpp"

#include "control/base/polling.hpp"

namespace pgsluice::control {

step_result<void> promote_standby(pg_client& standby, const hook& how, limits until) {
    if (how.shell.empty()) {
        // Not pg_promote(true): its wait looks only every 100 ms.
        auto sent = standby.query("SELECT pg_promote(false)", until);
        if (!sent) {
            return sent.error();
        }
        if (!sent->truth(0, 0)) {
            return step_failure{
                setback::failed, standby.server() + ": pg_promote() failed", "see its log", {}};
        }
    } else if (auto done = run_hook(how, until); !done) {
        return done;
    }
    return poll_until(
        [&]() -> step_result<bool> {
            auto over = standby.query("SELECT NOT pg_is_in_recovery()", until);
            return over ? step_result<bool>(over->truth(0, 0)) : over.error();
        },
        until,
        standby.server() + " is still in recovery"
    );
}

}  // namespace pgsluice::control
