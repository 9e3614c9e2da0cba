// Durations as people write them in the configuration and on the command line.
#include "control/base/duration.hpp"

#include <charconv>
#include <cstdint>

namespace pgsluice::control {
namespace {

constexpr std::int64_t duration_max_ms = 24LL * 60 * 60 * 1000;

failure wrong(std::string_view text, std::string_view why) {
    return failure{
        "22023",
        "\"" + std::string(text) + "\" " + std::string(why) +
            ", expected a duration such as 250ms, 10s or 5m",
        {},
        {}};
}

}  // namespace

result<std::chrono::milliseconds> parse_duration(std::string_view text) {
    std::int64_t number = 0;
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc::result_out_of_range) {
        return wrong(text, "is too long (at most 24 hours)");
    }
    if (error != std::errc{} || number < 0) {
        return wrong(text, "is not a duration");
    }
    const std::string_view unit = text.substr(static_cast<std::size_t>(rest - text.data()));
    if (unit.empty()) {
        return wrong(text, "has no unit");
    }
    const std::int64_t factor = unit == "ms" ? 1 : unit == "s" ? 1000 : unit == "m" ? 60'000 : 0;
    if (factor == 0) {
        return wrong(text, "has an unknown unit");
    }
    if (number > duration_max_ms / factor) {
        return wrong(text, "is too long (at most 24 hours)");
    }
    return std::chrono::milliseconds(number * factor);
}

std::string format_duration(std::chrono::milliseconds duration) {
    const auto ms = duration.count();
    if (ms != 0 && ms % 60'000 == 0) {
        return std::to_string(ms / 60'000) + "m";
    }
    if (ms % 1000 == 0) {
        return std::to_string(ms / 1000) + "s";
    }
    return std::to_string(ms) + "ms";
}

}  // namespace pgsluice::control
