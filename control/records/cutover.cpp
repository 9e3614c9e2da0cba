// Names of what the journal holds of a cutover.

#include "control/records/cutover.hpp"

#include <array>

namespace pgsluice::control {

std::string_view to_string(record_kind kind) noexcept {
    constexpr std::array<std::string_view, 5> names{
        "begun", "promoting", "committed", "aborted", "done"};
    return names[static_cast<std::size_t>(kind)];
}

void remember_times(step_times& times, std::span<const step_report> steps) {
    for (const step_report& each : steps) {
        times[each.name] = each.took;
    }
}

}  // namespace pgsluice::control
