// pgsluice: arguments -> configuration -> daemon, and the signals that end or reload it.
#include "control/config/config.hpp"
#include "control/daemon/daemon.hpp"
#include "control/daemon/logging.hpp"
#include "control/daemon/private_directory.hpp"
#include "control/servers/pg_servers.hpp"

#include <CLI/CLI.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <spdlog/spdlog.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <sys/resource.h>
#include <unistd.h>

namespace pgsluice::control {
namespace {

constexpr int exit_done = 0;
constexpr int exit_failed = 1;
constexpr int exit_usage = 2;

struct arguments {
    std::string file;
    bool check = false;
    bool print_config = false;
    bool print_reference = false;
    quick_start quick;
};

int complain(const std::string& text) {
    std::fprintf(stderr, "pgsluice: %s\n", text.c_str());
    return exit_usage;
}

void declare(CLI::App& app, arguments& given) {
    app.set_version_flag("--version", "pgsluice " PGSLUICE_VERSION);
    app.add_option("-c,--config", given.file, "Configuration file (YAML)")->type_name("FILE");
    app.add_flag("--check", given.check, "Validate the configuration and exit: 0 or 2");
    app.add_flag(
        "--print-config", given.print_config, "Print the effective configuration and exit"
    );
    app.add_flag("--print-reference", given.print_reference, "Print the reference of all keys");
    const std::string group = "Start without a file";
    app.add_option("--listen", given.quick.listen, "host:port, [::]:port or a socket directory")
        ->type_name("ADDR")
        ->group(group);
    app.add_option("--backend", given.quick.backends, "A server; the first one is the route")
        ->type_name("NAME=HOST:PORT")
        ->allow_extra_args(false)
        ->group(group);
    app.add_option("--state-dir", given.quick.state_dir, "Directory of the journal")
        ->type_name("DIR")
        ->group(group);
    app.add_option("--socket", given.quick.socket, "Control socket")
        ->type_name("PATH")
        ->group(group);
    app.add_option("--workers", given.quick.workers, "Relay threads, or auto")
        ->type_name("N")
        ->group(group);
}

/// Prints what is wrong with the file; nothing when it is valid.
std::optional<config> read_file(const std::string& file) {
    config_outcome outcome = load_config(file);
    for (const config_problem& each : outcome.errors) {
        std::fprintf(stderr, "%s\n", format_problem(file, each).c_str());
    }
    for (const config_problem& each : outcome.warnings) {
        std::fprintf(stderr, "%s (warning)\n", format_problem(file, each).c_str());
    }
    return outcome.value;
}

/// The start without a file. What was not given is put into a directory private to this user.
std::optional<config> read_arguments(quick_start quick, std::string& made_directory) {
    if (quick.state_dir.empty()) {
        const auto made = make_private_directory();
        if (!made) {
            complain(made.error().message);
            return std::nullopt;
        }
        made_directory = *made;
        quick.state_dir = *made;
    }
    if (quick.socket.empty()) {
        quick.socket = quick.state_dir + "/control.sock";
    }
    auto value = quick_config(quick);
    if (!value) {
        complain(value.error().message);
        return std::nullopt;
    }
    std::fprintf(
        stderr,
        "pgsluice: state in %s, commands by: sluicectl --socket %s status\n",
        quick.state_dir.c_str(),
        quick.socket.c_str()
    );
    return *value;
}

constexpr std::array handled_signals{SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2};

/// Blocks or unblocks the handled signals in this thread, and in those that it starts afterwards:
/// only the main thread takes them, no other is interrupted.
void mask_signals(int how) {
    sigset_t signals;
    sigemptyset(&signals);
    for (const int each : handled_signals) {
        sigaddset(&signals, each);
    }
    ::pthread_sigmask(how, &signals, nullptr);
}

/// A session takes two descriptors, and shells start programs with 1024.
void raise_descriptor_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        ::setrlimit(RLIMIT_NOFILE, &limit);
    }
}

void reload(daemon& running) {
    const outcome reload = running.reload();
    if (!reload.is_done()) {
        spdlog::error("reload_failed what=\"{}\"", reload.error);
    }
}

/// Returns the signal that ends the process. SIGINT lets sessions reach their transaction
/// boundaries first, unless it comes again; PgBouncer's signals for PAUSE and RESUME end nothing.
boost::asio::awaitable<int> wait_for_the_end(daemon& running, boost::asio::signal_set& signals) {
    for (bool is_draining = false;;) {
        const int signal = co_await signals.async_wait(boost::asio::use_awaitable);
        if (signal == SIGHUP) {
            reload(running);
        } else if (signal == SIGUSR1 || signal == SIGUSR2) {
            spdlog::warn("signal_ignored signal={} (the command is pause or resume)", signal);
        } else if (signal == SIGINT && !is_draining) {
            is_draining = true;
            spdlog::info("draining signal={}", signal);
            running.wind_down();
        } else {
            co_return signal;
        }
    }
}

int serve(const config& settings, const std::string& file) {
    std::signal(SIGPIPE, SIG_IGN);
    mask_signals(SIG_BLOCK);
    boost::asio::io_context loop(1);
    boost::asio::signal_set signals(loop);
    for (const int each : handled_signals) {
        signals.add(each);
    }
    raise_descriptor_limit();
    set_up_logging(settings.log);
    auto started = daemon::start(
        {.settings = settings,
         .file = file,
         .servers = make_pg_servers,
         .ask_to_stop =
             [] {
                 ::kill(::getpid(), SIGTERM);
             }}
    );
    if (!started) {
        const failure& why = started.error();
        std::fprintf(
            stderr,
            "pgsluice: %s%s%s\n",
            why.message.c_str(),
            why.hint.empty() ? "" : "; ",
            why.hint.c_str()
        );
        return exit_failed;
    }
    auto ended_by =
        boost::asio::co_spawn(loop, wait_for_the_end(**started, signals), boost::asio::use_future);
    mask_signals(SIG_UNBLOCK);
    loop.run();
    spdlog::info("stopping signal={}", ended_by.get());
    return exit_done;
}

int run(const arguments& given) {
    if (given.print_reference) {
        std::fputs(config_reference().c_str(), stdout);
        return exit_done;
    }
    const bool is_quick = !given.quick.listen.empty() || !given.quick.backends.empty();
    if (given.file.empty() != is_quick) {
        return complain(
            is_quick ? "a file and --listen/--backend exclude each other"
                     : "nothing to run, expected -c FILE or --listen ADDR --backend NAME=HOST:PORT"
        );
    }
    if (given.check && is_quick) {
        return complain("--check needs a file, expected -c FILE");
    }
    std::string made_directory;
    const auto value =
        is_quick ? read_arguments(given.quick, made_directory) : read_file(given.file);
    int code = value ? exit_done : exit_usage;
    if (value && given.print_config) {
        std::fputs(print_config(*value).c_str(), stdout);
    } else if (value && !given.check) {
        code = serve(*value, given.file);
    }
    if (!made_directory.empty()) {
        std::error_code ignored;
        std::filesystem::remove_all(made_directory, ignored);
    }
    return code;
}

}  // namespace
}  // namespace pgsluice::control

int main(int argc, char** argv) {
    using namespace pgsluice::control;
    CLI::App app("PostgreSQL proxy that moves live sessions to another server", "pgsluice");
    arguments given;
    declare(app, given);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        return app.exit(e) == 0 ? exit_done : exit_usage;
    }
    return run(given);
}
