// `reconnect` and `wait-close`, `disable` and `enable`.
#include "control/cutover/steps.hpp"
#include "control/service/report_json.hpp"
#include "control/service/session_control.hpp"

#include <algorithm>

namespace pgsluice::control {
namespace {

namespace json = boost::json;
using clock = limits::clock;
using std::chrono::milliseconds;

constexpr milliseconds wait_timeout_default{60'000};
constexpr milliseconds look_every{50};
constexpr int looks_between_words = 4;

bool is_left(const proxy::session_info& session) {
    return session.is_to_reconnect;
}

}  // namespace

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
    const auto left = std::count_if(sessions.begin(), sessions.end(), is_left);
    json::array rows;
    for (const std::string& row : session_rows(sessions, is_left)) {
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
