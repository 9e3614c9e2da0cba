#include "control/records/cutover.hpp"

#include "control/cutover/world.hpp"

#include <fmt/format.h>

#include <array>

namespace pgsluice::control {

std::string_view to_string(record_kind kind) noexcept {
    constexpr std::array<std::string_view, 5> names{
        "begun", "promoting", "committed", "aborted", "done"};
    return names[static_cast<std::size_t>(kind)];
}

std::string lsn_text(lsn position) {
    return fmt::format("{:X}/{:X}", position >> 32, position & 0xFFFFFFFF);
}

void throw_exception_from_error(const step_failure& f, const boost::source_location& where) {
    assertion_failed(f.text.c_str(), where.file_name(), static_cast<int>(where.line()));
}

}  // namespace pgsluice::control
