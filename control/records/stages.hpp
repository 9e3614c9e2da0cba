#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace pgsluice::control {

/// What a run of stages changes.
enum class stages_of : std::uint8_t { admission, canary };
std::string_view to_string(stages_of what) noexcept;

/// A run of stages that is under way.
struct stages_record {
    std::uint64_t stage = 0;  ///< that was entered last, from 1; 0: none
    std::uint64_t of = 0;
    std::string by{};
    stages_of what = stages_of::admission;

    friend bool operator==(const stages_record&, const stages_record&) = default;
};

}  // namespace pgsluice::control
