// The one place where a service's mode changes.
#include "control/service/mode.hpp"

#include <algorithm>
#include <string>

namespace pgsluice::control {

std::string_view to_string(mode value) noexcept {
    constexpr std::array<std::string_view, modes> names{
        "recovering", "serving", "holding", "held", "switching", "reverting", "draining"};
    return names[static_cast<std::size_t>(value)];
}

std::string_view to_string(mode_event value) noexcept {
    constexpr std::array<std::string_view, mode_events> names{
        "recovered", "hold", "park", "revert", "reverted", "commit", "open", "stay", "drain"};
    return names[static_cast<std::size_t>(value)];
}

result<mode> mode_machine::apply(mode_event event) {
    const auto row = std::find_if(mode_table.begin(), mode_table.end(), [&](const auto& each) {
        return each.from == current_ && each.event == event;
    });
    if (row == mode_table.end()) {
        return failure{
            "55000",
            "\"" + std::string(to_string(event)) + "\" is not possible while " +
                std::string(to_string(current_)),
            {},
            {}};
    }
    current_ = row->to;
    return current_;
}

}  // namespace pgsluice::control
