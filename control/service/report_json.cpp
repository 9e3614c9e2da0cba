// Answers as JSON: what cutovers came to, and sessions in rows and groups.
#include "control/service/report_json.hpp"

#include "control/base/words.hpp"
#include "control/cutover/steps.hpp"
#include "control/records/admission.hpp"

#include <boost/json/value.hpp>

#include <algorithm>
#include <arpa/inet.h>
#include <map>

namespace pgsluice::control {
namespace {

namespace json = boost::json;

double in_ms(std::chrono::microseconds span) {
    return static_cast<double>(span.count()) / 1000;
}

json::array strings(const std::vector<std::string>& texts) {
    return json::array(texts.begin(), texts.end());
}

json::array steps_json(const std::vector<step_report>& steps) {
    json::array rows;
    for (const step_report& step : steps) {
        rows.push_back(
            {{"step", step.name},
             {"took_ms", in_ms(step.took)},
             {"in_pause", step.in_pause},
             {"text", step.text}}
        );
    }
    return rows;
}

/// The classes that anybody fell into.
json::array stalls_json(const proxy::stall_histogram& stalls) {
    json::array rows;
    for (std::size_t i = 0; i < stalls.counts.size(); ++i) {
        if (stalls.counts[i] == 0) {
            continue;
        }
        const auto& bounds = proxy::stall_histogram::bounds_ms;
        const json::value from = i == 0 ? 0 : static_cast<std::int64_t>(bounds[i - 1]);
        const json::value to =
            i < bounds.size() ? json::value(static_cast<std::int64_t>(bounds[i])) : nullptr;
        rows.push_back({{"from_ms", from}, {"to_ms", to}, {"waits", stalls.counts[i]}});
    }
    return rows;
}

/// What the operator can do about a cutover that is done.
std::string way_back_text(const cutover_request& asked) {
    if (asked.way_back) {
        return asked.from + " follows " + asked.to + ": `rollback` leads back and loses nothing";
    }
    return "none was prepared (replication.reverse): " + asked.from + " does not get what is " +
           "written on " + asked.to;
}

/// Fields that have something to say; a hint belongs to the error line of people too.
void add_words(json::object& result, const std::string& text, const std::string& hint) {
    result["text"] = text;
    if (!hint.empty()) {
        result["hint"] = hint;
    }
}

outcome answer(int exit, std::string text, json::object result) {
    const auto code = static_cast<exit_code>(exit);
    return code == exit_code::done ? outcome::done(std::move(result))
                                   : outcome::of(code, std::move(text), std::move(result));
}

/// The field of `state` that a phase counts as.
std::string_view counted_as(proxy::session_phase phase) {
    switch (phase) {
    case proxy::session_phase::startup:
    case proxy::session_phase::login:
        return "starting";
    case proxy::session_phase::held:
    case proxy::session_phase::idle:
    case proxy::session_phase::active:
    case proxy::session_phase::in_transaction:
    case proxy::session_phase::parked:
    case proxy::session_phase::moving:
        break;
    }
    return proxy::to_string(phase);
}

/// The groups that a session counts in.
std::vector<std::string> groups_of(const proxy::session_info& session, std::string_view by) {
    if (by == "backend") {
        return {session.backend};
    }
    if (by == "state") {
        return {std::string(proxy::to_string(session.phase))};
    }
    if (by == "user") {
        return {session.user};
    }
    if (by == "prefix") {
        return {address_prefix(session.address)};
    }
    std::vector<std::string> codes;
    for (const proxy::pin_reason& pin : session.pins) {
        codes.push_back(pin.code);
    }
    return codes.empty() ? std::vector<std::string>{""} : codes;
}

}  // namespace

std::string_view to_string(check_level level) {
    switch (level) {
    case check_level::ok:
        return "ok";
    case check_level::warning:
        return "warn";
    case check_level::error:
        return "error";
    case check_level::off:
        return "off";
    }
    return "";
}

json::array checks_json(const std::vector<check_row>& checks) {
    json::array rows;
    for (const check_row& check : checks) {
        rows.push_back(
            {{"check", check.name},
             {"level", to_string(check.level)},
             {"text", check.text},
             {"hint", check.hint}}
        );
    }
    return rows;
}

outcome report_outcome(const cutover_request& asked, const cutover_report& report) {
    json::object result{
        {"id", asked.id}, {"from", asked.from}, {"to", asked.to}, {"outcome", report.outcome}};
    add_words(result, report.text, report.hint);
    result["sessions"] = report.sessions;
    result["switched"] = report.switched;
    result["lost"] = report.lost;
    result["held_ms"] = in_ms(report.pause.held);
    result["drained_ms"] = in_ms(report.pause.drained);
    result["waited_ms"] = in_ms(report.pause.waited);
    result["added_ms"] = in_ms(report.pause.added);
    result["longest_stall_ms"] = in_ms(report.stalls.longest);
    if (report.outcome != "aborted" && asked.admit_after) {
        result["admitted"] = ranges_of(*asked.admit_after);
    }
    if (report.outcome != "aborted" && asked.read_only_after) {
        result["access"] = "read-only";
    }
    if (report.outcome != "aborted" && !asked.retarget) {
        result["way_back"] = way_back_text(asked);
    }
    result["stalls"] = stalls_json(report.stalls);
    result["rows"] = strings(report.rows);
    result["left_behind"] = strings(report.left_behind);
    result["checks"] = checks_json(report.checks);
    result["steps"] = steps_json(report.steps);
    return answer(report.exit_code, report.text, std::move(result));
}

outcome rehearsal_outcome(const cutover_request& asked, const rehearsal& found) {
    json::object result{{"from", asked.from}, {"to", asked.to}};
    add_words(result, found.text, "");
    result["checks"] = checks_json(found.checks);
    json::array plan;
    for (const planned_step& step : found.plan) {
        plan.push_back(
            {{"step", step.name},
             {"expected_ms", step.expected ? in_ms(*step.expected) : json::value(nullptr)},
             {"deadline_ms", step.deadline.count()},
             {"does", step.does},
             {"undo", step.undo}}
        );
    }
    result["plan"] = std::move(plan);
    json::array readings;
    for (const reading& each : found.readings) {
        readings.push_back({{"reading", each.name}, {"value", each.value}});
    }
    result["readings"] = std::move(readings);
    result["pinned"] = strings(found.pinned);
    return answer(found.exit_code, found.text, std::move(result));
}

json::object session_json(const proxy::session_info& session) {
    json::array pins;
    for (const proxy::pin_reason& pin : session.pins) {
        pins.push_back({{"code", pin.code}, {"text", pin.text}});
    }
    return {
        {"id", session.id},
        {"state", proxy::to_string(session.phase)},
        {"state_age_ms", session.phase_age.count()},
        {"age_ms", session.age.count()},
        {"waits", session.waits},
        {"admitted", session.is_admitted},
        {"canary", session.is_canary},
        {"restricted", session.is_restricted},
        {"user", session.user},
        {"database", session.database},
        {"application", session.application},
        {"address", session.address},
        {"backend", session.backend},
        {"pid", session.backend_pid},
        {"worker", session.worker},
        {"moves", session.moves},
        {"transactions", session.counted.transactions},
        {"queries", session.counted.queries},
        {"received_bytes", session.counted.received_bytes},
        {"sent_bytes", session.counted.sent_bytes},
        {"pins", std::move(pins)},
        {"query", session.query},
    };
}

std::size_t count_of(
    const std::vector<proxy::session_info>& sessions, bool (*wanted)(const proxy::session_info&)
) {
    return static_cast<std::size_t>(std::count_if(sessions.begin(), sessions.end(), wanted));
}

json::array rows_json(
    const std::vector<proxy::session_info>& sessions, bool (*wanted)(const proxy::session_info&)
) {
    const auto rows = session_rows(sessions, wanted);
    return json::array(rows.begin(), rows.end());
}

json::array blockers_json(const std::vector<proxy::session_info>& blockers) {
    json::array rows;
    for (const proxy::session_info& session : blockers) {
        rows.push_back(blocker_json(session));
    }
    return rows;
}

json::object blocker_json(const proxy::session_info& session) {
    const bool is_in_transaction = session.phase == proxy::session_phase::in_transaction;
    return {
        {"pid", session.backend_pid},
        {"user", session.user},
        {"database", session.database},
        {"application", session.application},
        {"address", session.address},
        {"transaction_age_ms",
         is_in_transaction ? json::value(session.phase_age.count()) : json::value(nullptr)},
        {"state", proxy::to_string(session.phase)},
        {"query", session.query},
    };
}

json::object sessions_json(std::span<const proxy::session_info> sessions, std::string_view by) {
    if (by.empty()) {
        json::array rows;
        for (const proxy::session_info& session : sessions) {
            rows.push_back(session_json(session));
        }
        return {{"sessions", std::move(rows)}};
    }
    std::map<std::string, std::vector<proxy::session_info>> groups;
    for (const proxy::session_info& session : sessions) {
        for (const std::string& group : groups_of(session, by)) {
            groups[group].push_back(session);
        }
    }
    json::array rows;
    for (const auto& [group, members] : groups) {
        json::object row{{by, group}};
        for (const auto& count : count_sessions(members)) {
            row[count.key()] = count.value();
        }
        const proxy::traffic sum = traffic_of(members);
        row["transactions"] = sum.transactions;
        row["bytes"] = sum.received_bytes + sum.sent_bytes;
        rows.push_back(std::move(row));
    }
    return {{"groups", std::move(rows)}};
}

json::object count_sessions(std::span<const proxy::session_info> sessions) {
    json::object counts{{"total", sessions.size()}};
    for (const char* name :
         {"starting",
          "held",
          "idle",
          "active",
          "in_transaction",
          "parked",
          "moving",
          "pinned",
          "outside"}) {
        counts[name] = 0;
    }
    for (const proxy::session_info& session : sessions) {
        counts[counted_as(session.phase)].get_int64() += 1;
        counts["pinned"].get_int64() += session.pins.empty() ? 0 : 1;
        counts["outside"].get_int64() += is_outside(session) ? 1 : 0;
    }
    return counts;
}

proxy::traffic traffic_of(std::span<const proxy::session_info> sessions) {
    proxy::traffic sum;
    for (const proxy::session_info& session : sessions) {
        sum.add(session.counted);
    }
    return sum;
}

bool is_outside(const proxy::session_info& session) {
    return !session.is_admitted && session.phase != proxy::session_phase::startup;
}

std::string address_prefix(std::string_view address) {
    const std::size_t colon = address.rfind(':');
    if (colon == std::string_view::npos) {
        return std::string(address);
    }
    std::string host(address.substr(0, colon));
    if (!host.starts_with('[')) {
        const std::size_t dot = host.rfind('.');
        return dot == std::string::npos ? host : host.substr(0, dot) + ".0/24";
    }
    host = host.substr(1, host.find_first_of("%]") - 1);
    in6_addr parsed{};
    if (::inet_pton(AF_INET6, host.c_str(), &parsed) != 1) {
        return host;
    }
    std::fill(parsed.s6_addr + 8, parsed.s6_addr + 16, std::uint8_t{0});
    char text[INET6_ADDRSTRLEN];
    return std::string(::inet_ntop(AF_INET6, &parsed, text, sizeof text)) + "/64";
}

outcome preflight_outcome(const cutover_request& asked, const std::vector<check_row>& rows) {
    std::size_t counts[4] = {};
    for (const check_row& row : rows) {
        ++counts[static_cast<std::size_t>(row.level)];
    }
    const auto count = [&](check_level level) {
        return counts[static_cast<std::size_t>(level)];
    };
    boost::json::object result{{"from", asked.from}, {"to", asked.to}};
    for (const check_level level :
         {check_level::ok, check_level::warning, check_level::error, check_level::off}) {
        result[to_string(level)] = count(level);
    }
    result["checks"] = checks_json(rows);
    if (count(check_level::error) == 0) {
        return outcome::done(std::move(result));
    }
    return outcome::of(
        exit_code::failed,
        counted(count(check_level::error), "error") + ": a cutover to " + asked.to +
            " would be refused",
        std::move(result)
    );
}

}  // namespace pgsluice::control
