// `cutover --dry-run`: what the sequence would find and do, and the figures an operator decides by.
#include "control/cutover/expect.hpp"
#include "control/cutover/steps.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace pgsluice::control {

namespace {

using std::chrono::milliseconds;

std::vector<reading> service_readings(const std::vector<proxy::session_info>& sessions) {
    std::size_t in_transaction = 0;
    milliseconds longest{0};
    for (const proxy::session_info& session : sessions) {
        if (session.phase == proxy::session_phase::in_transaction) {
            ++in_transaction;
            longest = std::max(longest, session.phase_age);
        }
    }
    const double seconds = std::chrono::duration<double>(longest).count();
    return {
        {"sessions", std::to_string(sessions.size())},
        {"in a transaction", std::to_string(in_transaction)},
        {"longest transaction", fmt::format("{:.1f} s", seconds)}};
}

void judge(rehearsal& found, const cutover_request& request) {
    const auto errors =
        std::count_if(found.checks.begin(), found.checks.end(), [](const check_row& row) {
            return row.level == check_level::error;
        });
    if (errors > 0) {
        found.exit_code = 1;
        found.text =
            "would be refused: " + counted(static_cast<std::size_t>(errors), "check") + " failed";
    } else if (!found.pinned.empty() && request.on_pinned == pinned_policy::abort) {
        found.exit_code = 1;
        found.text = "would be refused: sessions that cannot be moved (on_pinned: abort)";
    } else {
        found.text = "would be tried; nothing was changed";
    }
}

}  // namespace

rehearsal
rehearse_cutover(const cutover_request& request, cutover_world world, const step_times& last) {
    rehearsal found;
    found.plan = make_plan(request);
    for (planned_step& step : found.plan) {
        if (const auto took = last.find(step.name); took != last.end()) {
            step.expected = took->second;
        }
    }
    const auto sessions = world.service.sessions();
    found.readings = service_readings(sessions);
    found.pinned = session_rows(sessions, has_pins);
    if (!request.retarget) {
        const auto begun = limits::clock::now();
        const limits until{begun + request.preflight_timeout, &world.aborted};
        auto checks = world.servers.preflight(expect(world.service, request), until);
        if (!checks) {
            found.exit_code = checks.error().why == setback::deadline ? 5 : 1;
            found.text = "preflight: " + checks.error().text;
            return found;
        }
        found.checks = std::move(*checks);
        found.plan.front().expected =
            std::chrono::duration_cast<std::chrono::microseconds>(limits::clock::now() - begun);
        if (auto more = world.servers.readings(until)) {
            found.readings.insert(found.readings.end(), more->begin(), more->end());
        }
    }
    judge(found, request);
    return found;
}

}  // namespace pgsluice::control
