// Who may do what on the console, and how its commands are run and answered.

#include "control/console/console.hpp"

#include "control/render/text.hpp"

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>

namespace pgsluice::control {
namespace {

namespace json = boost::json;
using protocol::console_answer;

constexpr std::size_t lines_max = 20;

std::string text_of(const json::value& value) {
    return value.is_string() ? std::string(value.get_string()) : json::serialize(value);
}

/// As people read it: numbers, too.
std::string shown_in(const json::object& fields, std::string_view name) {
    const json::value* const value = fields.if_contains(name);
    return value == nullptr || value->is_null() ? std::string() : text_of(*value);
}

/// One of those who kept a command from its end.
std::string blocker_line(const json::object& who) {
    std::string line = "pid " + shown_in(who, "pid") + ", user " + shown_in(who, "user") +
                       ", database " + shown_in(who, "database") + ", application \"" +
                       shown_in(who, "application") + "\", from " + shown_in(who, "address") +
                       ", " + shown_in(who, "state");
    if (const std::string age = shown_in(who, "transaction_age_ms"); !age.empty()) {
        line += " for " + age + " ms";
    }
    const std::string query = shown_in(who, "query");
    return query.empty() ? line : line + ": " + query;
}

/// A check of a preflight that has something to say, or any other line of a report.
std::string report_line(const json::value& row) {
    if (!row.is_object()) {
        return text_of(row);
    }
    const json::object& fields = row.get_object();
    if (fields.contains("pid")) {
        return blocker_line(fields);
    }
    if (fields.contains("check")) {
        const std::string level = shown_in(fields, "level");
        return level == "ok"
                   ? std::string()
                   : level + " " + shown_in(fields, "check") + ": " + shown_in(fields, "text");
    }
    return json::serialize(row);
}

/// The lists of a result that an operator has to read, one line each.
std::string lines_of(const json::object& result) {
    std::string lines;
    std::size_t count = 0;
    for (const std::string_view name :
         {"blockers", "left", "terminated", "errors", "rows", "left_behind", "checks"}) {
        const json::value* const list = result.if_contains(name);
        if (list == nullptr || !list->is_array()) {
            continue;
        }
        for (const json::value& row : list->get_array()) {
            const std::string line = report_line(row);
            if (!line.empty() && ++count <= lines_max) {
                lines += (lines.empty() ? "" : "\n") + line;
            }
        }
    }
    if (count > lines_max) {
        lines += "\nand " + std::to_string(count - lines_max) + " more";
    }
    return lines;
}

/// What a command that is done has to tell, in one line.
std::string summary_of(const json::object& result) {
    if (std::string told = shown_in(result, "text"); !told.empty()) {
        return told;
    }
    std::string line;
    for (const auto& field : result) {
        if (!field.value().is_array() && !field.value().is_object()) {
            line += (line.empty() ? "" : ", ") + std::string(field.key()) + " " +
                    text_of(field.value());
        }
    }
    return line.empty() ? "done" : line;
}

std::string_view sqlstate_of(exit_code exit) {
    switch (exit) {
    case exit_code::usage:
        return "22023";  // invalid_parameter_value
    case exit_code::refused:
        return "55000";  // object_not_in_prerequisite_state
    case exit_code::deadline:
        return "57014";  // query_canceled
    case exit_code::failed:
        return "40000";  // transaction_rollback: everything is back as it was
    case exit_code::done:
    case exit_code::no_daemon:
    case exit_code::needs_operator:
        break;
    }
    return "58000";  // system_error
}

/// Texts come from queries and files, and messages end at a zero byte.
std::string without_zeros(std::string text) {
    std::replace(text.begin(), text.end(), '\0', ' ');
    return text;
}

failure too_busy() {
    return {
        "53300",
        "too many commands at once (" + std::to_string(command_threads::threads_max) + ")",
        {},
        "Try again when one of them has ended."};
}

bool lists(const std::vector<std::string>& users, std::string_view user) {
    return std::find(users.begin(), users.end(), user) != users.end();
}

/// Progress as notices: each step once, and how far it is at most once a second. Of PgBouncer's
/// commands, whose scripts expect to hear nothing, only when they take longer than that.
class progress_notices {
public:
    progress_notices(const console_plan& plan, const std::function<void(failure)>& tell)
        : is_quiet_(plan.is_quiet), tell_(tell) {}

    void show(const json::object& progress) {
        constexpr std::chrono::seconds pace{1};
        const auto now = std::chrono::steady_clock::now();
        const std::string step = shown_in(progress, "step");
        const bool is_new_step = !is_quiet_ && step != step_;
        if (!is_new_step && now - last_ < pace) {
            return;
        }
        std::string line = without_zeros(render_progress(progress));
        if (line == line_) {
            return;
        }
        step_ = step;
        last_ = now;
        line_ = std::move(line);
        tell_({"00000", line_, {}, {}});
    }

private:
    bool is_quiet_;
    const std::function<void(failure)>& tell_;
    std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
    std::string step_;
    std::string line_;
};

role role_among(const console_config& who, std::string_view user) {
    return lists(who.admins, user)      ? role::admin
           : lists(who.operators, user) ? role::operator_
           : lists(who.viewers, user)   ? role::viewer
                                        : role::none;
}

/// Puts the rows of one more service behind those that are there, or adds them up.
void add_rows(console_rows& rows, console_rows more, show_scope scope) {
    for (protocol::console_row& row : more) {
        for (auto& value : row) {
            if (value) {
                value = without_zeros(std::move(*value));
            }
        }
        const auto same = std::find_if(rows.begin(), rows.end(), [&](const auto& each) {
            return scope == show_scope::sum && each.front() == row.front();
        });
        if (same == rows.end()) {
            rows.push_back(std::move(row));
        } else {
            (*same)[1] = std::to_string(std::stoull(*(*same)[1]) + std::stoull(*row[1]));
        }
    }
}

}  // namespace

console_answer console_answer_of(const console_plan& plan, const outcome& ended) {
    if (!ended.is_done()) {
        return console_answer::failed(
            {std::string(sqlstate_of(ended.exit)),
             without_zeros(ended.error.empty() ? "failed" : ended.error),
             without_zeros(lines_of(ended.result)),
             without_zeros(shown_in(ended.result, "hint"))}
        );
    }
    console_answer answer = console_answer::done(plan.tag);
    if (!plan.is_quiet) {
        answer.notices.push_back(
            {"00000",
             without_zeros(summary_of(ended.result)),
             without_zeros(lines_of(ended.result)),
             {}}
        );
    }
    return answer;
}

void service_console::apply(console_config who) {
    const std::lock_guard lock(mutex_);
    who_ = std::move(who);
}

service_console::service_console(surroundings around, console_config who)
    : around_(std::move(around)), services_{around_.service}, who_(std::move(who)) {
    for (const neighbour& each : around_.beside) {
        services_.push_back(each.service);
    }
}

role service_console::role_of(std::string_view user) const {
    const std::lock_guard lock(mutex_);
    return role_among(who_, user);
}

result<void> service_console::welcome(const asker& who) {
    if (role_of(who.user) != role::none) {
        return {};
    }
    return failure{
        std::string(sqlstate::invalid_authorization),
        "user \"" + who.user + "\" may not use the console of service \"" + around_.service.name +
            "\"",
        "Its users are listed as console.admin, console.operator and console.viewer.",
        {}};
}

result<protocol::console_columns> service_console::describe(std::string_view statement) {
    const auto plan = plan_statement(statement, services_);
    if (!plan) {
        return plan.error();
    }
    return plan->columns;
}

std::string service_console::version() const {
    return PGSLUICE_VERSION "/pgsluice";
}

void service_console::run(const asker& who, const std::string& statement, listener to) {
    const bool is_taken = around_.threads.run([this, who, statement, to] {
        console_answer given;
        try {
            given = answer(who, statement, to.tell);
        } catch (const std::exception& e) {
            spdlog::error("console_failed statement=\"{}\" what=\"{}\"", statement, e.what());
            given = console_answer::failed(
                {std::string(sqlstate::internal_error), without_zeros(e.what()), {}, {}}
            );
        }
        to.done(std::move(given));
    });
    if (!is_taken) {
        to.done(console_answer::failed(too_busy()));
    }
}

console_answer
service_console::answer(const asker& who, const std::string& statement, const teller& tell) const {
    auto plan = plan_statement(statement, services_);
    if (!plan) {
        return console_answer::failed(plan.error());
    }
    if (plan->services.size() > 1) {  // all that have a console
        std::erase_if(plan->services, [this](const auto& name) { return !has_console(name); });
    }
    if (auto refused = refusal(*plan, who)) {
        return console_answer::failed(std::move(*refused));
    }
    return execute(*plan, who, tell);
}

role service_console::role_in(const std::string& service, std::string_view user) const {
    for (const neighbour& each : around_.beside) {
        if (each.service.name == service) {
            return role_among(each.who(), user);
        }
    }
    return role_of(user);
}

bool service_console::has_console(const std::string& service) const {
    return std::all_of(around_.beside.begin(), around_.beside.end(), [&](const neighbour& each) {
        return each.service.name != service || each.who().is_open();
    });
}

/// Every service that a statement is about asks for the role; one is enough where any will do.
std::optional<failure> service_console::refusal(const console_plan& plan, const asker& who) const {
    std::vector<std::string> about = plan.services;
    if (about.empty()) {
        about = {around_.service.name};
    }
    const auto lacks_role = [&](const std::string& service) {
        return role_in(service, who.user) < plan.needs;
    };
    const auto refused = std::find_if(about.begin(), about.end(), lacks_role);
    const bool will_do = plan.is_for_any && !std::all_of(about.begin(), about.end(), lacks_role);
    if (refused == about.end() || will_do) {
        return std::nullopt;
    }
    spdlog::warn(
        "console_refused service={} user={} address={} role={} command={}",
        *refused,
        who.user,
        who.address,
        to_string(role_in(*refused, who.user)),
        plan.tag
    );
    return failure{
        "42501",
        "user \"" + who.user + "\" is no " + std::string(to_string(plan.needs)) + " of service \"" +
            *refused + "\"",
        plan.tag + " needs that role.",
        {}};
}

/// Does it for each of its services in turn. The first that fails ends it; what it has paused until
/// then goes on.
console_answer service_console::give(
    const console_plan& plan, const request& given, const asker& who, const progress_sink& tell
) const {
    request asked = given;
    asked.asked_by = who.user + "@" + who.address;
    if (plan.services.empty()) {
        return console_answer_of(plan, around_.run(asked, tell));
    }
    std::vector<std::string> paused;
    outcome ended = outcome::done({});
    for (const std::string& service : plan.services) {
        if (plan.is_for_any && role_in(service, who.user) < plan.needs) {
            continue;
        }
        asked.service = service;
        ended = around_.run(asked, tell);
        if (ended.is_done() == plan.is_for_any) {
            break;
        }
        const bool is_pause = asked.what->id == command_id::pause;
        if (is_pause && ended.is_done() && !ended.result.contains("already")) {
            paused.push_back(service);
        }
    }
    for (const std::string& service : ended.is_done() ? std::vector<std::string>() : paused) {
        auto undo = make_request("resume", service, {});
        undo->asked_by = asked.asked_by;
        around_.run(*undo, tell);
    }
    return console_answer_of(plan, ended);
}

/// Whose rows a table has.
std::vector<const console_sources*>
service_console::shown(const console_plan& plan, const show_table& table, const asker& who) const {
    std::vector<const console_sources*> from;
    const bool is_own = plan.services.empty() || plan.services.front() == around_.service.name;
    if (is_own) {
        from.push_back(&around_.sources);
    }
    for (const neighbour& each : around_.beside) {
        const bool is_asked = !plan.services.empty() ? plan.services.front() == each.service.name
                                                     : table.scope != show_scope::own;
        if (is_asked && role_in(each.service.name, who.user) >= table.needs) {
            from.push_back(&each.sources);
        }
    }
    return from;
}

console_answer
service_console::execute(const console_plan& plan, const asker& who, const teller& tell) const {
    console_answer answer = console_answer::done(plan.tag);
    answer.columns = plan.columns;
    if (const auto* const given = std::get_if<request>(&plan.what)) {
        progress_notices progress(plan, tell);
        return give(plan, *given, who, [&](const json::object& step) { progress.show(step); });
    }
    if (const auto* const table = std::get_if<const show_table*>(&plan.what)) {
        for (const console_sources* const from : shown(plan, **table, who)) {
            add_rows(answer.rows, (*table)->rows(*from), (*table)->scope);
        }
    } else if (const auto* const setting = std::get_if<const driver_setting*>(&plan.what)) {
        answer.rows = {{std::string((*setting)->value)}};
    } else if (std::holds_alternative<console_plan::help>(plan.what)) {
        answer.notices.push_back({"00000", "Console usage", console_help(), {}});
    }
    return answer;
}

}  // namespace pgsluice::control
