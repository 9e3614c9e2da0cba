// `reconnect` and `wait-close`, `disable` and `enable`.
#include "control/cutover/steps.hpp"
#include "control/service/report_json.hpp"
#include "control/service/service.hpp"

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

outcome service_operations::reconnect() {
    const auto own = begin("reconnect");
    if (!own) {
        return busy();
    }
    return outcome::done({{"sessions", around_.engine.reconnect(id_)}});
}

/// Changes nothing, so that everything else may be done meanwhile.
outcome service_operations::wait_close(const request& given, const progress_sink& tell) {
    const auto started = clock::now();
    const auto deadline = started + given.duration("timeout", wait_timeout_default);
    for (int look = 1;; ++look) {
        const std::size_t left = around_.engine.progress(id_).to_reconnect;
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
        std::unique_lock guard(mutex_);
        if (ended_.wait_for(guard, look_every, [this] { return is_stopping_; })) {
            return outcome::of(exit_code::failed, "the wait was ended by shutdown");
        }
    }
    const auto sessions = around_.engine.sessions(id_);
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

outcome service_operations::take_clients(bool on, const std::string& by) {
    const auto own = begin(on ? "enable" : "disable");
    if (!own) {
        return busy();
    }
    const bool is_so = takes_clients() == on;
    if (!is_so) {
        if (auto noted = append(journal_kinds::clients, {{"taken", on}, {"by", by}}); !noted) {
            return outcome::of(exit_code::failed, noted.error().message);
        }
        around_.engine.take_clients(id_, on);
        const std::lock_guard guard(mutex_);
        takes_clients_ = on;
    }
    return outcome::done({{"new_clients", on ? "accepted" : "refused"}, {"already", is_so}});
}

bool service_operations::takes_clients() const {
    const std::lock_guard guard(mutex_);
    return takes_clients_;
}

}  // namespace pgsluice::control
