// sluicectl: the command table as a command line. Results go to stdout, everything else to stderr.
#include "control/commands/request.hpp"
#include "control/render/html.hpp"
#include "control/render/text.hpp"
#include "control/socket/client.hpp"

#include <CLI/CLI.hpp>
#include <boost/json/serialize.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <unistd.h>

namespace pgsluice::control {
namespace {

/// What the command line gave; the map holds one entry for each argument of the table's row.
struct given_command {
    const command* what = nullptr;
    CLI::App* parser = nullptr;
    std::map<std::string, std::string, std::less<>> texts;
    std::map<std::string, std::vector<std::string>, std::less<>> lists;
    std::map<std::string, bool, std::less<>> flags;
};

struct options {
    std::string socket;
    std::string service;
    bool json = false;
};

void declare_argument(given_command& given, const command_argument& argument) {
    const std::string name(argument.name);
    const std::string help(argument.help);
    if (argument.type == argument_type::flag) {
        given.parser->add_flag("--" + name, given.flags[name], help);
        return;
    }
    if (argument.type == argument_type::ranges) {
        given.parser->add_option(name, given.lists[name], help);
        return;
    }
    const std::string option = argument.is_positional() ? name : "--" + name;
    auto* added = given.parser->add_option(option, given.texts[name], help);
    if (!argument.is_positional()) {
        std::string values;
        for (const std::string_view choice : argument.choices) {
            values += (values.empty() ? "" : "|") + std::string(choice);
        }
        const bool is_duration = argument.type == argument_type::duration;
        added->type_name(!values.empty() ? values : is_duration ? "DURATION" : "TEXT");
    }
}

/// Every command as a subcommand.
std::vector<std::unique_ptr<given_command>> declare_commands(CLI::App& app) {
    std::vector<std::unique_ptr<given_command>> all;
    for (const command& each : commands()) {
        auto& given = *all.emplace_back(std::make_unique<given_command>());
        given.what = &each;
        given.parser = app.add_subcommand(std::string(each.name), std::string(each.help));
        for (const command_argument& argument : each.arguments) {
            declare_argument(given, argument);
        }
    }
    return all;
}

int end_with(exit_code code, const std::string& error) {
    if (!error.empty()) {
        std::fprintf(stderr, "sluicectl: %s\n", error.c_str());
    }
    return static_cast<int>(code);
}

/// Shows progress on stderr: a line that is redrawn on a terminal, else one line a step.
class progress_line {
public:
    void show(const boost::json::object& progress) {
        const std::string line = render_progress(progress);
        if (is_terminal_) {
            std::fprintf(stderr, "\r\x1b[K%s", line.c_str());
            is_open_ = true;
            return;
        }
        const boost::json::value* step = progress.if_contains("step");
        if (step != nullptr && *step != last_step_) {
            last_step_ = *step;
            std::fprintf(stderr, "%s\n", line.c_str());
        }
    }
    void close() {
        if (is_open_) {
            std::fputs("\r\x1b[K", stderr);
        }
    }

private:
    bool is_terminal_ = ::isatty(STDERR_FILENO) == 1;
    bool is_open_ = false;
    boost::json::value last_step_;
};

/// `--html FILE`: nothing when there is none to write, or what went wrong.
std::string write_page(const std::string& path, const outcome& ended) {
    if (path.empty() || !ended.result.contains("checks")) {
        return {};
    }
    std::ofstream file(path);
    const bool is_report = ended.result.contains("steps");
    file << (is_report ? report_page(ended.result) : verdicts_page(ended.result)) << std::flush;
    return file ? "" : "cannot write " + path;
}

/// Prints a batch of events, each by itself, and returns the last one's number.
std::string print_events(const boost::json::object& result, bool as_json, std::string last) {
    const boost::json::value* list = result.if_contains("events");
    if (list == nullptr || !list->is_array()) {
        return last;
    }
    for (const boost::json::value& each : list->get_array()) {
        if (as_json) {
            std::printf("%s\n", boost::json::serialize(each).c_str());
        }
        last = boost::json::serialize(each.as_object().at("seq"));
    }
    if (!as_json) {
        std::fputs(render_result("events", result).c_str(), stdout);
    }
    std::fflush(stdout);
    return last;
}

/// The daemon is asked again and again, so that nothing there has to know who looks.
int show_events(const options& chosen, request asked) {
    constexpr std::chrono::milliseconds look_again_after{250};
    const bool follows = asked.has("follow");
    const progress_sink nobody = [](const boost::json::object&) {
    };
    while (true) {
        const outcome ended = run_command(chosen.socket, asked, nobody);
        if (!ended.is_done()) {
            return end_with(ended.exit, ended.error);
        }
        const std::string last = asked.text("after", "0");
        asked.arguments["after"] = print_events(ended.result, chosen.json, last);
        asked.arguments.erase("last");
        if (!follows) {
            return static_cast<int>(exit_code::done);
        }
        std::this_thread::sleep_for(look_again_after);
    }
}

int give(const options& chosen, const given_command& given) {
    std::map<std::string, std::string, std::less<>> arguments;
    for (const auto& [name, text] : given.texts) {
        const auto* option = given.parser->get_option_no_throw(
            given.what->find_argument(name)->is_positional() ? name : "--" + name
        );
        if (option->count() > 0) {
            // The daemon reads it, from wherever it was started.
            const bool is_count = name == "stages" && !given.lists.at("RANGES").empty();
            const bool is_read_there = (name == "plan" || name == "stages") && !is_count;
            arguments[name] = is_read_there ? std::filesystem::absolute(text).string() : text;
        }
    }
    for (const auto& [name, list] : given.lists) {
        for (const std::string& each : list) {
            arguments[name] += (arguments[name].empty() ? "" : " ") + each;
        }
    }
    for (const auto& [name, is_set] : given.flags) {
        if (is_set) {
            arguments[name] = "true";
        }
    }
    const auto page = arguments.find("html");
    const std::string page_path = page == arguments.end() ? "" : page->second;
    const auto request = make_request(given.what->name, chosen.service, std::move(arguments));
    if (!request) {
        return end_with(exit_code::usage, request.error().message);
    }
    if (given.what->id == command_id::events) {
        return show_events(chosen, *request);
    }
    progress_line progress;
    const outcome ended =
        run_command(chosen.socket, *request, [&](const boost::json::object& step) {
            progress.show(step);
        });
    progress.close();
    if (chosen.json) {
        boost::json::object shown = ended.result;
        if (!ended.error.empty()) {
            shown["error"] = ended.error;
        }
        std::printf("%s\n", boost::json::serialize(shown).c_str());
    } else {
        std::fputs(render_result(given.what->name, ended.result).c_str(), stdout);
    }
    if (const std::string wrong = write_page(page_path, ended); !wrong.empty()) {
        return end_with(exit_code::usage, wrong);
    }
    return end_with(ended.exit, ended.error);
}

/// Answers a command line without a command, or with something that is not an argument.
int unexpected(const given_command* given, const std::vector<std::string>& extras) {
    if (given == nullptr && (extras.empty() || !extras.front().starts_with('-'))) {
        const std::string name = extras.empty() ? "" : extras.front();
        return end_with(exit_code::usage, make_request(name, {}, {}).error().message);
    }
    std::string text = "\"" + extras.front() + "\" is not expected";
    if (given != nullptr && extras.front().starts_with("--")) {
        const std::string name = extras.front().substr(2, extras.front().find('=') - 2);
        text = make_request(given->what->name, {}, {{name, "?"}}).error().message;
    }
    return end_with(exit_code::usage, text);
}

std::string default_socket() {
    const char* path = std::getenv("PGSLUICE_SOCKET");  // NOLINT(concurrency-mt-unsafe)
    return path != nullptr && *path != '\0' ? path : "/run/pgsluice/control.sock";
}

}  // namespace
}  // namespace pgsluice::control

int main(int argc, char** argv) {
    using namespace pgsluice::control;
    CLI::App app("Gives commands to a running pgsluice", "sluicectl");
    options chosen{.socket = default_socket(), .service = {}, .json = false};
    app.set_version_flag("--version", "sluicectl " PGSLUICE_VERSION);
    app.add_option("--socket", chosen.socket, "Control socket (or $PGSLUICE_SOCKET)")
        ->type_name("PATH");
    app.add_option("--service", chosen.service, "Service; may be left out where there is one")
        ->type_name("NAME");
    app.add_flag("--json", chosen.json, "Print the result as one JSON line");
    app.footer("Exit codes: 0 done, 1 failed or aborted and undone, 2 wrong usage, 3 no daemon, "
               "4 refused in this state, 5 deadline passed, 6 needs an operator");
    app.require_subcommand(0, 1);
    app.fallthrough();
    app.allow_extras();  // so that unexpected() can answer in the table's words
    const auto all = declare_commands(app);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        return app.exit(e) == 0 ? 0 : static_cast<int>(exit_code::usage);
    }
    const auto named = std::find_if(all.begin(), all.end(), [](const auto& each) {
        return each->parser->parsed();
    });
    const given_command* given = named == all.end() ? nullptr : named->get();
    const auto extras = app.remaining(true);
    if (given == nullptr || !extras.empty()) {
        return unexpected(given, extras);
    }
    return give(chosen, *given);
}
