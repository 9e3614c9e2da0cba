// Commands on sessions: `sessions`, `drain`, `kill`, `reconnect`, `wait-close`, `disable` and
// `enable`. `drain` ends each session at its next transaction boundary, `kill` ends one at once.
#include "control/service/session_control.hpp"

#include "control/config/resolve.hpp"
#include "control/cutover/steps.hpp"
#include "control/service/report_json.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace pgsluice::control {
namespace {

namespace json = boost::json;
using clock = limits::clock;
using std::chrono::milliseconds;

constexpr milliseconds timeout_default{10'000};
constexpr milliseconds progress_every{200};
constexpr milliseconds who_is_left_every{1'000};

constexpr milliseconds wait_timeout_default{60'000};
constexpr milliseconds look_every{50};
constexpr int looks_between_words = 4;

bool kept_connection(const proxy::session_info& session) {
    return session.is_to_reconnect;
}

bool is_over(const proxy::service_progress& p) {
    return p.draining == 0;
}

bool is_left(const proxy::session_info& session) {
    return session.is_draining;
}

/// How far it is; who is left is looked at now and then only, as there may be thousands.
json::object
progress_json(std::size_t left, std::size_t meant, milliseconds waited, json::array who) {
    std::string text = std::to_string(left) + " of " + counted(meant, "session") + " left";
    if (!who.empty() && left > 0) {
        text += ": " + std::string(who.front().as_string()) +
                (left > 1 ? ", and " + std::to_string(left - 1) + " more" : "");
    }
    json::object progress{{"step", "drain"}, {"text", text}, {"elapsed_ms", waited.count()}};
    if (!who.empty()) {
        progress["left"] = std::move(who);
    }
    return progress;
}

/// Which sessions the command is about, or what is wrong with its arguments.
result<proxy::drain_filter> read_filter(const request& given, const service_config& service) {
    proxy::drain_filter which;
    which.user = given.text("user");
    if (const std::string name = given.text("backend"); !name.empty()) {
        if (service.find_backend(name) == nullptr) {
            return no_such_backend(service, name);
        }
        which.backend = backend_index(service, name);
    }
    if (given.has("cidr")) {
        const std::vector<std::string> tokens{given.text("cidr")};
        auto from = proxy::address_set::parse(tokens);
        if (!from) {
            return from.error();
        }
        which.from = std::move(*from);
    }
    return which;
}

}  // namespace

outcome session_control::sessions(const request& given) {
    return outcome::done(sessions_json(core_.traffic.sessions(), given.text("by")));
}

outcome session_control::drain(const request& given, const progress_sink& tell) {
    const auto own = core_.lock.begin(operation::drain);
    if (!own) {
        return core_.lock.busy();
    }
    const auto which = read_filter(given, *core_.settings());
    if (!which) {
        return outcome::of(exit_code::usage, which.error().message);
    }
    const proxy::farewell words{
        "57P01",
        "terminating connection due to administrator command",
        "Service \"" + core_.name() + "\" is being drained.",
        "Reconnect: new sessions work."};
    const auto started = clock::now();
    const auto deadline = started + given.duration("timeout", timeout_default);
    const std::size_t meant = core_.engine.drain(core_.id, *which, words);
    wait_drained(
        meant, deadline, [this] { return core_.aborted().load(); }, tell
    );
    auto left = core_.traffic.sessions();
    std::erase_if(left, [](const proxy::session_info& each) { return !is_left(each); });
    core_.engine.end_drain(core_.id);
    const auto waited = std::chrono::duration_cast<milliseconds>(clock::now() - started);
    boost::json::object result{{"ended", meant - left.size()}, {"waited_ms", waited.count()}};
    if (left.empty()) {
        return outcome::done(std::move(result));
    }
    result["left"] = blockers_json(left);
    const std::string who = counted(left.size(), "session");
    return core_.aborted()
               ? outcome::of(exit_code::failed, "the drain was ended, " + who + " go on", result)
               : outcome::of(
                     exit_code::deadline,
                     who + " did not come to a boundary in time and go on",
                     result
                 );
}

/// Until nobody is left, the deadline or `is_over_early`, telling how far it is and, once a second,
/// who is left.
void session_control::wait_drained(
    std::size_t meant,
    clock::time_point deadline,
    const std::function<bool()>& is_over_early,
    const progress_sink& tell
) {
    const auto started = clock::now();
    auto looked = started;
    json::array who;
    bool is_done = false;
    while (!is_done && !is_over_early() && clock::now() < deadline) {
        const auto now = clock::now();
        is_done = core_.engine.wait(core_.id, is_over, std::min(deadline, now + progress_every));
        if (!is_done && now - looked >= who_is_left_every) {
            looked = now;
            who.clear();
            for (const std::string& row : session_rows(core_.engine.sessions(core_.id), is_left)) {
                who.emplace_back(row);
            }
        }
        const auto waited = std::chrono::duration_cast<milliseconds>(clock::now() - started);
        tell(progress_json(core_.engine.progress(core_.id).draining, meant, waited, who));
    }
}

std::size_t
session_control::wind_down(const std::function<bool()>& is_over, const progress_sink& tell) {
    const proxy::farewell words{
        "57P01",
        "terminating connection because pgsluice is shutting down",
        "An operator stops the proxy in front of service \"" + core_.name() + "\".",
        {}};
    const std::size_t meant = core_.engine.drain(core_.id, {}, words);
    wait_drained(meant, clock::now() + core_.settings()->cutover.drain_timeout, is_over, tell);
    return core_.engine.progress(core_.id).draining;
}

outcome session_control::kill(const request& given) {
    const std::string text = given.text("SESSION");
    proxy::session_id id = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
    if (error != std::errc{} || end != text.data() + text.size()) {
        return outcome::of(
            exit_code::usage, "SESSION: \"" + text + "\" is not valid, expected a number"
        );
    }
    const proxy::farewell words{
        "57P01",
        "terminating connection due to administrator command",
        "An operator of service \"" + core_.name() + "\" ended this session.",
        {}};
    const std::array ids{id};
    if (core_.engine.terminate(core_.id, ids, words) == 0) {
        return outcome::of(exit_code::refused, "there is no session " + text);
    }
    return outcome::done({{"ended", 1}});
}

outcome session_control::reconnect() {
    const auto own = core_.lock.begin(operation::reconnect);
    if (!own) {
        return core_.lock.busy();
    }
    return outcome::done({{"sessions", core_.engine.reconnect(core_.id)}});
}

/// Changes nothing, so that everything else may be done meanwhile.
outcome session_control::wait_close(const request& given, const progress_sink& tell) {
    const auto started = clock::now();
    const auto deadline = started + given.duration("timeout", wait_timeout_default);
    for (int look = 1;; ++look) {
        const std::size_t left = core_.engine.progress(core_.id).to_reconnect;
        const auto waited = std::chrono::duration_cast<milliseconds>(clock::now() - started);
        if (left == 0) {
            return outcome::done({{"waited_ms", waited.count()}});
        }
        if (clock::now() >= deadline) {
            break;
        }
        if (look % looks_between_words == 0) {
            tell(
                {{"step", "wait-close"},
                 {"text", counted(left, "session") + " left"},
                 {"elapsed_ms", waited.count()}}
            );
        }
        if (core_.lock.wait_stopped(look_every)) {
            return outcome::of(exit_code::failed, "the wait was ended by shutdown");
        }
    }
    const auto sessions = core_.engine.sessions(core_.id);
    const auto left = std::count_if(sessions.begin(), sessions.end(), kept_connection);
    json::array rows;
    for (const std::string& row : session_rows(sessions, kept_connection)) {
        rows.emplace_back(row);
    }
    return outcome::of(
        exit_code::deadline,
        counted(static_cast<std::size_t>(left), "session") + " kept the connection they had",
        {{"rows", std::move(rows)}}
    );
}

outcome session_control::take_clients(bool on, const std::string& by) {
    const auto own = core_.lock.begin(on ? operation::enable : operation::disable);
    if (!own) {
        return core_.lock.busy();
    }
    const bool is_so = takes_clients() == on;
    if (!is_so) {
        if (auto noted = core_.append(journal_kinds::clients, {{"taken", on}, {"by", by}});
            !noted) {
            return outcome::of(exit_code::failed, noted.error().message);
        }
        core_.engine.take_clients(core_.id, on);
        const std::lock_guard guard(core_.mutex);
        takes_clients_ = on;
    }
    return outcome::done({{"new_clients", on ? "accepted" : "refused"}, {"already", is_so}});
}

bool session_control::takes_clients() const {
    const std::lock_guard guard(core_.mutex);
    return takes_clients_;
}

}  // namespace pgsluice::control
