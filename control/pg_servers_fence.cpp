// The fence around the old server, and the one that an earlier cutover left around the new one.
#include "control/fence.hpp"
#include "control/pg_servers.hpp"

namespace pgsluice::control {

step_result<fence_memory> pg_servers::read_fence(limits until) {
    auto old = from(until);
    if (!old) {
        return old.error();
    }
    return read_fence_memory(**old, until);
}

step_result<std::string>
pg_servers::fence(const std::function<std::vector<std::int32_t>()>& ours, limits until) {
    auto old = from(until);
    if (!old) {
        return old.error();
    }
    return raise_fence(**old, ours, until);
}

step_result<void> pg_servers::unfence(const fence_memory& memory, limits until) {
    auto old = from(until);
    if (!old) {
        return old.error();
    }
    return lower_fence(**old, memory, until);
}

step_result<std::string> pg_servers::lift(const fence_memory& memory, limits until) {
    auto next = to(until);
    if (!next) {
        return next.error();
    }
    return lift_fence(**next, memory, until);
}

step_result<void> pg_servers::undo_lift(limits until) {
    auto next = to(until);
    if (!next) {
        return next.error();
    }
    return restore_fence(**next, until);
}

}  // namespace pgsluice::control
