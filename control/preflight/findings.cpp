// Keeps the findings of one check few enough to be read.
#include "control/preflight/findings.hpp"

#include <algorithm>

namespace pgsluice::control {

namespace {

constexpr std::size_t told_max = 10;

}  // namespace

void verdicts::add(check_level level, std::string text, std::string mend) {
    if (++findings_ <= told_max) {
        rows_.push_back({std::string(check_), level, std::move(text), std::move(mend)});
    } else {
        worst_untold_ = std::max(worst_untold_, level);
    }
}

void verdicts::close(std::string_view sound) {
    if (findings_ > told_max) {
        const std::string left = std::to_string(findings_ - told_max);
        rows_.push_back({std::string(check_), worst_untold_, "and " + left + " more", {}});
    } else if (findings_ == 0 && !sound.empty()) {
        good(std::string(sound));
    }
}

}  // namespace pgsluice::control
