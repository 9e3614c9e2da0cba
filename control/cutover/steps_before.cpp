// The steps before a session is touched: what is checked, journaled and made ready on the servers.
#include "control/cutover/expect.hpp"
#include "control/cutover/steps.hpp"

#include <algorithm>
#include <set>

namespace pgsluice::control::steps {

namespace {

using std::chrono::milliseconds;

step_result<void> refuse_errors(const std::vector<check_row>& checks) {
    step_failure refusal{setback::refused, "", "", {}};
    for (const check_row& row : checks) {
        if (row.level == check_level::error) {
            refusal.rows.push_back(row.name + ": " + row.text);
            refusal.hint = refusal.hint.empty() ? row.hint : refusal.hint;
        }
    }
    if (refusal.rows.empty()) {
        return {};
    }
    refusal.text = counted(refusal.rows.size(), "check") + " failed: " + refusal.rows.front();
    return refusal;
}

/// Sessions whose setting names matter are in these databases.
std::vector<std::string> databases_in_use(traffic& service) {
    std::set<std::string> names;
    for (const proxy::session_info& session : service.sessions()) {
        if (!session.database.empty()) {
            names.insert(session.database);
        }
    }
    return {names.begin(), names.end()};
}

/// Whether the fence of an earlier cutover stands. A setting may have been reset by hand.
bool is_new_server_fenced(const cutover_state& state) {
    const auto& fence = state.asked.to_fence;
    return fence && (!is_setting(fence->method) || state.world.servers.is_new_read_only());
}

}  // namespace

step_result<std::string> preflight(cutover_state& state, limits until) {
    auto checks = state.world.servers.preflight(expect(state.world.service, state.asked), until);
    if (!checks) {
        return checks.error();
    }
    state.report.checks = *checks;
    if (auto ok = refuse_errors(*checks); !ok) {
        return ok.error();
    }
    const auto databases = databases_in_use(state.world.service);
    auto names = state.world.servers.custom_settings(databases, until);
    if (!names) {
        return names.error();
    }
    state.world.service.learn_custom_settings(*names);
    if (auto ok = state.world.servers.prepare(until); !ok) {
        return ok.error();
    }
    const auto warnings = std::count_if(checks->begin(), checks->end(), [](const check_row& row) {
        return row.level == check_level::warning;
    });
    return counted(checks->size(), "check") + ", " +
           counted(static_cast<std::size_t>(warnings), "warning");
}

step_result<std::string> before(cutover_state& state, limits until) {
    if (auto ok = state.world.servers.run_hook(hook_kind::before, "", until); !ok) {
        return ok.error();
    }
    return std::string("before_command is content");
}

step_result<std::string> prewarm(cutover_state& state, limits until) {
    return state.world.servers.prewarm(until);
}

step_result<std::string> begin(cutover_state& state, limits until) {
    cutover_record record{.kind = record_kind::begun};
    if (state.asked.fence_left) {
        record.fence = state.memory = *state.asked.fence_left;
    }
    if (state.asked.fence_left && !state.asked.retarget) {
        auto lowered = state.world.servers.unfence(state.memory, until);
        if (!lowered) {
            return lowered.error();
        }
        state.report.fence_left.reset();
    }
    if (!state.asked.retarget && state.asked.fence != fence_method::none) {
        auto memory = state.world.servers.read_fence(until);
        if (!memory) {
            return memory.error();
        }
        state.memory = *memory;
        record.fence = *memory;
    }
    if (is_new_server_fenced(state)) {
        record.to_fence = state.asked.to_fence;
    }
    record.way_back = state.asked.way_back;
    // The fence's undo information is on disk before anybody waits: one fsync less in the pause.
    if (auto ok = append(state, std::move(record)); !ok) {
        return ok.error();
    }
    state.begun = true;
    return std::string("journaled");
}

step_result<std::string> lift(cutover_state& state, limits until) {
    if (!is_new_server_fenced(state)) {
        return state.asked.to + " is writable already";
    }
    state.lifted = state.asked.to_fence;
    return state.world.servers.lift(*state.lifted, until);
}

void undo_lift(cutover_state& state) {
    if (!state.lifted) {
        return;
    }
    const bool is_command = state.lifted->method == fence_method::command;
    const milliseconds patience = is_command ? state.asked.hook_timeout : milliseconds{2'000};
    const limits until{limits::clock::now() + patience, nullptr};
    auto ok = state.world.servers.undo_lift(*state.lifted, until);
    state.lift_stays = ok ? "" : ok.error().text;
    state.lifted.reset();
}

step_result<std::string> prepare_back(cutover_state& state, limits until) {
    state.back_prepared = true;
    if (auto ok = state.world.servers.prepare_way_back(until); !ok) {
        return ok.error();
    }
    return state.asked.from + " is ready to follow " + state.asked.to;
}

void undo_prepare_back(cutover_state& state) {
    if (!state.back_prepared) {
        return;
    }
    constexpr milliseconds patience{5'000};
    auto ok = state.world.servers.undo_way_back({limits::clock::now() + patience, nullptr});
    state.back_stays = ok ? "" : ok.error().text;
    state.back_prepared = false;
}

}  // namespace pgsluice::control::steps
