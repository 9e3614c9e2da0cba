#pragma once

#include "control/base/deadline.hpp"
#include "control/base/step_result.hpp"

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>

namespace pgsluice::control {

/// Asks until the answer is yes: at once, then after waits of a tenth of what was waited so far, at
/// least half a millisecond, at most 5 ms, so that no wait is made much longer by the asking. `ask`
/// returns step_result<bool>; its failure ends the polling. `late` tells what was not reached in
/// time.
template <class Ask>
step_result<void> poll_until(Ask ask, const limits& until, const std::string& late) {
    constexpr limits::clock::duration shortest = std::chrono::microseconds(500);
    constexpr limits::clock::duration longest = std::chrono::milliseconds(5);
    const auto begun = limits::clock::now();
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
        const auto waited = limits::clock::now() - begun;
        std::this_thread::sleep_for(std::clamp(waited / 10, shortest, longest));
    }
}

}  // namespace pgsluice::control
