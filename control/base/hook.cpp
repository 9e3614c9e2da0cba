// Runs an operator's command with /bin/sh in a process group of its own.

#include "control/base/hook.hpp"

#include "control/base/polling.hpp"

#include <fmt/format.h>

#include <csignal>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

namespace pgsluice::control {

namespace {

class environment {
public:
    explicit environment(const hook& what) {
        for (char** one = environ; *one != nullptr; ++one) {
            texts_.emplace_back(*one);
        }
        for (const auto& [name, value] : what.variables) {
            texts_.push_back(name + "=" + value);
        }
        for (std::string& text : texts_) {
            pointers_.push_back(text.data());
        }
        pointers_.push_back(nullptr);
    }
    char* const* pointers() { return pointers_.data(); }

private:
    std::vector<std::string> texts_;
    std::vector<char*> pointers_;
};

step_result<pid_t> start_shell(const hook& what) {
    environment variables(what);
    std::string shell = "/bin/sh";
    std::string option = "-c";
    std::string text = what.shell;
    char* const arguments[] = {shell.data(), option.data(), text.data(), nullptr};
    posix_spawnattr_t attributes{};
    posix_spawnattr_init(&attributes);
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    pid_t pid = 0;
    const int error =
        posix_spawn(&pid, shell.c_str(), nullptr, &attributes, arguments, variables.pointers());
    posix_spawnattr_destroy(&attributes);
    if (error != 0) {
        return step_failure{setback::failed, what.name + " could not be started", {}, {}};
    }
    return pid;
}

}  // namespace

step_result<void> run_hook(const hook& what, const limits& until) {
    auto pid = start_shell(what);
    if (!pid) {
        return pid.error();
    }
    int status = 0;
    auto ended = poll_until(
        [&]() -> step_result<bool> { return ::waitpid(*pid, &status, WNOHANG) == *pid; },
        until,
        what.name + " did not end in time and was killed"
    );
    if (!ended) {
        ::kill(-*pid, SIGKILL);
        ::waitpid(*pid, &status, 0);
        return ended;
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        return step_failure{
            setback::failed,
            WIFEXITED(status)
                ? fmt::format("{} ended with exit code {}", what.name, WEXITSTATUS(status))
                : fmt::format("{} was ended by signal {}", what.name, WTERMSIG(status)),
            "its output is in the log of pgsluice",
            {}};
    }
    return {};
}

}  // namespace pgsluice::control
