#pragma once

#include "control/cutover_record.hpp"
#include "control/limits.hpp"

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>

namespace pgsluice::control {

/// Asks until the answer is yes: at once, then after 1 ms, growing to 5 ms. `ask` returns
/// step_result<bool>; its failure ends the polling. `late` tells what was not reached in time.
template <class Ask>
step_result<void> poll_until(Ask ask, const limits& until, const std::string& late) {
    using std::chrono::microseconds;
    constexpr microseconds longest{5'000};
    microseconds pause{1'000};
    while (true) {
        step_result<bool> answer = ask();
        if (!answer) {
            return answer.error();
        }
        if (*answer) {
            return {};
        }
        if (until.stopped()) {
            return step_failure{setback::aborted, "aborted by the operator", {}, {}};
        }
        if (until.passed()) {
            return step_failure{setback::deadline, late, {}, {}};
        }
        std::this_thread::sleep_for(pause);
        pause = std::min(pause * 3 / 2, longest);
    }
}

}  // namespace pgsluice::control
