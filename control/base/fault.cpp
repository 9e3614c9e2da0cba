// Faults on demand; the variable is read at each point, so that a test can change it while running.
#include "control/base/fault.hpp"

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <thread>
#include <unistd.h>

namespace pgsluice::control {
namespace {

/// The action that `faults` asks for at `name`; empty for none.
std::string_view action_at(std::string_view faults, std::string_view name) {
    while (!faults.empty()) {
        const std::string_view fault = faults.substr(0, faults.find(','));
        faults.remove_prefix(std::min(faults.size(), fault.size() + 1));
        const std::size_t equals = fault.rfind('=');
        if (equals != std::string_view::npos && fault.substr(0, equals) == name) {
            return fault.substr(equals + 1);
        }
    }
    return {};
}

/// One write() a line: threads and the processes of a restart append to the same file.
void trace(std::string_view name) {
    const char* path = std::getenv("PGSLUICE_FAULT_TRACE");  // NOLINT(concurrency-mt-unsafe)
    if (path == nullptr) {
        return;
    }
    const int file = ::open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const std::string line = std::string(name) + "\n";
    (void)!::write(file, line.data(), line.size());
    ::close(file);
}

result<void> hold(std::string_view name, const std::atomic<bool>* released) {
    if (released == nullptr) {
        return failure{"XX000", "nothing can release " + std::string(name), {}, {}};
    }
    while (!released->load()) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return {};
}

}  // namespace

result<void> fault_point(std::string_view name, const std::atomic<bool>* released) {
    trace(name);
    const char* faults = std::getenv("PGSLUICE_FAULT");  // NOLINT(concurrency-mt-unsafe)
    if (faults == nullptr) {
        return {};
    }
    const std::string_view action = action_at(faults, name);
    if (action == "kill") {
        std::raise(SIGKILL);
    } else if (action == "stop") {
        std::raise(SIGSTOP);
    } else if (action == "hold") {
        return hold(name, released);
    } else if (action == "error") {
        return failure{"XX000", "fault injected at " + std::string(name), {}, {}};
    }
    return {};
}

}  // namespace pgsluice::control
