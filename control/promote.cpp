// pg_promote(), or a command of the operator's. Both end when the server itself says that recovery
// is over.
#include "control/promote.hpp"

#include "control/polling.hpp"

#include <fmt/format.h>

#include <csignal>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace pgsluice::control {

namespace {

class environment {
public:
    explicit environment(const promote_command& how) {
        for (char** one = environ; *one != nullptr; ++one) {
            texts_.emplace_back(*one);
        }
        texts_.push_back("PGSLUICE_SERVICE=" + how.service);
        texts_.push_back("PGSLUICE_FROM=" + how.from);
        texts_.push_back("PGSLUICE_FROM_HOST=" + how.from_address.host);
        texts_.push_back(fmt::format("PGSLUICE_FROM_PORT={}", how.from_address.port));
        texts_.push_back("PGSLUICE_TO=" + how.to);
        texts_.push_back("PGSLUICE_TO_HOST=" + how.to_address.host);
        texts_.push_back(fmt::format("PGSLUICE_TO_PORT={}", how.to_address.port));
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

step_result<pid_t> start_shell(const promote_command& how) {
    environment variables(how);
    std::string shell = "/bin/sh";
    std::string option = "-c";
    std::string text = how.shell;
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
        return step_failure{setback::failed, "promote_command could not be started", {}, {}};
    }
    return pid;
}

step_result<void> run_command(const promote_command& how, const limits& until) {
    auto pid = start_shell(how);
    if (!pid) {
        return pid.error();
    }
    int status = 0;
    auto ended = poll_until(
        [&]() -> step_result<bool> { return ::waitpid(*pid, &status, WNOHANG) == *pid; },
        until,
        "promote_command did not end in time and was killed"
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
                ? fmt::format("promote_command ended with exit code {}", WEXITSTATUS(status))
                : fmt::format("promote_command was ended by signal {}", WTERMSIG(status)),
            "its output is in the log of pgsluice",
            {}};
    }
    return {};
}

}  // namespace

step_result<void> promote_standby(pg_client& standby, const promote_command& how, limits until) {
    if (how.shell.empty()) {
        // Not pg_promote(true): its wait looks only every 100 ms.
        auto sent = standby.query("SELECT pg_promote(false)", until);
        if (!sent) {
            return sent.error();
        }
        if (!sent->truth(0, 0)) {
            return step_failure{
                setback::failed, standby.server() + ": pg_promote() failed", "see its log", {}};
        }
    } else if (auto done = run_command(how, until); !done) {
        return done;
    }
    return poll_until(
        [&]() -> step_result<bool> {
            auto over = standby.query("SELECT NOT pg_is_in_recovery()", until);
            return over ? step_result<bool>(over->truth(0, 0)) : over.error();
        },
        until,
        standby.server() + " is still in recovery"
    );
}

}  // namespace pgsluice::control
