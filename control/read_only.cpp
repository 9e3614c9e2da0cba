// Forced read-only: the command, what status tells of it, and what a restart has to finish. Each
// change is in the journal before it takes effect:
//
//   on    entering -> guards, drain -> on         a crash in between, a deadline: off
//   off   leaving -> guards away -> off           a crash in between: off
#include "control/operations.hpp"
#include "control/report_json.hpp"
#include "control/steps.hpp"

#include <boost/json/value.hpp>
#include <spdlog/spdlog.h>

#include <algorithm>

namespace pgsluice::control {
namespace {

namespace json = boost::json;
using clock = limits::clock;
using std::chrono::milliseconds;

constexpr milliseconds timeout_default{10'000};
constexpr milliseconds progress_every{200};

bool is_guarded(const proxy::service_progress& p) {
    return p.unguarded == 0;
}

milliseconds since(clock::time_point start) {
    return std::chrono::duration_cast<milliseconds>(clock::now() - start);
}

}  // namespace

read_only_record service_operations::read_only_now() const {
    const std::lock_guard guard(mutex_);
    return read_only_;
}

json::value service_operations::read_only_json() const {
    const read_only_record now = read_only_now();
    if (now.state == read_only_state::off) {
        return nullptr;
    }
    json::object fields{{"state", to_string(now.state)}, {"fence", to_string(now.fence)}};
    if (!now.backend.empty()) {
        fields["fenced"] = now.backend;
    }
    return fields;
}

result<void> service_operations::note_read_only(read_only_record next, std::string_view by) {
    json::object payload = encode_read_only(next);
    if (!by.empty()) {
        payload["by"] = by;
    }
    if (auto noted = append(journal_kinds::readonly, std::move(payload)); !noted) {
        return noted.error();
    }
    spdlog::info(
        "readonly service={} state={} fence={}",
        name(),
        to_string(next.state),
        to_string(next.fence)
    );
    const std::lock_guard guard(mutex_);
    read_only_ = std::move(next);
    return {};
}

outcome service_operations::read_only(const request& given, const progress_sink& tell) {
    const auto own = begin("readonly");
    if (!own) {
        return busy();
    }
    if (given.text("MODE") == "on") {
        return begin_read_only(given, tell);
    }
    return end_read_only();
}

outcome service_operations::begin_read_only(const request& given, const progress_sink& tell) {
    const auto started = clock::now();
    if (read_only_now().state == read_only_state::on) {
        return outcome::done({{"access", "read-only"}, {"already", true}});
    }
    read_only_record next{.state = read_only_state::entering};
    if (auto noted = note_read_only(next, given.asked_by); !noted) {
        return outcome::of(exit_code::failed, noted.error().message);
    }
    around_.engine.set_read_only(id_, true);
    const bool is_complete =
        wait_guarded(started + given.duration("timeout", timeout_default), tell);
    if (!is_complete) {
        return read_only_is_late(started);
    }
    next.state = read_only_state::on;
    if (auto noted = note_read_only(next, given.asked_by); !noted) {
        around_.engine.set_read_only(id_, false);
        return outcome::of(exit_code::failed, noted.error().message);
    }
    return outcome::done(
        {{"access", "read-only"},
         {"sessions", traffic_.progress().sessions},
         {"waited_ms", since(started).count()}}
    );
}

/// True when no session can write any more.
bool service_operations::wait_guarded(clock::time_point deadline, const progress_sink& tell) {
    const auto started = clock::now();
    while (!aborted_) {
        const auto look = std::min(deadline, clock::now() + progress_every);
        if (traffic_.wait(is_guarded, look)) {
            return true;
        }
        if (clock::now() >= deadline) {
            return false;
        }
        tell(
            {{"step", "readonly"},
             {"text", counted(traffic_.progress().unguarded, "session") + " in a transaction left"},
             {"elapsed_ms", since(started).count()}}
        );
    }
    return false;
}

outcome service_operations::read_only_is_late(clock::time_point started) {
    auto blockers = traffic_.sessions();
    std::erase_if(blockers, [](const proxy::session_info& each) {
        return each.is_guarded || !blocks_drain(each) || each.phase == proxy::session_phase::login;
    });
    around_.engine.set_read_only(id_, false);
    // Should the journal refuse, a restart leads to off all the same.
    (void)note_read_only({}, {});
    json::object result{
        {"access", "read-write"},
        {"waited_ms", since(started).count()},
        {"blockers", blockers_json(blockers)}};
    if (aborted_) {
        return outcome::of(exit_code::failed, "readonly on was ended, writes go on", result);
    }
    return outcome::of(
        exit_code::deadline,
        counted(blockers.size(), "session") +
            " did not come to a boundary in time; access is read-write again",
        std::move(result)
    );
}

outcome service_operations::end_read_only() {
    read_only_record next = read_only_now();
    if (next.state == read_only_state::off) {
        return outcome::done({{"access", "read-write"}, {"already", true}});
    }
    next.state = read_only_state::leaving;
    if (auto noted = note_read_only(next, {}); !noted) {
        return outcome::of(exit_code::failed, noted.error().message);
    }
    around_.engine.set_read_only(id_, false);
    if (auto noted = note_read_only({}, {}); !noted) {
        return outcome::of(exit_code::failed, noted.error().message);
    }
    return outcome::done({{"access", "read-write"}});
}

void service_operations::recover_read_only() {
    const auto own = begin("recovery");
    const read_only_record found = read_only_now();
    if (!own || found.state == read_only_state::on || found.state == read_only_state::off) {
        return;
    }
    (void)note_read_only({}, "recovery");
}

}  // namespace pgsluice::control
