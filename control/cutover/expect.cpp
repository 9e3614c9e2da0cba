// What a preflight must know of the clients that a cutover would move.

#include "control/cutover/expect.hpp"

namespace pgsluice::control {

preflight_expectations expect(traffic& service, const cutover_request& asked) {
    const proxy::service_progress now = service.progress();
    const auto sessions = service.sessions();
    std::set<std::pair<std::string, std::string>> logins;
    for (const proxy::session_info& session : sessions) {
        if (!session.user.empty()) {
            logins.emplace(session.user, session.database);
        }
    }
    return {
        .sessions = now.sessions + now.held,
        .fence = asked.fence,
        .to_fence = asked.to_fence,
        .ours = [&service, from = asked.from_backend] { return service.backend_pids(from); },
        .logins = std::move(logins),
        .state_dir = asked.state_dir,
        .prewarm = asked.prewarm,
        .way_back = asked.way_back};
}

}  // namespace pgsluice::control
