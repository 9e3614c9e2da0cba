// `canary`: clients of some addresses on another backend. In the journal before it takes effect;
// what a restart finds there is in force from its first client on.
#include "control/service/canary_control.hpp"

#include "control/commands/argument_rules.hpp"
#include "control/config/resolve.hpp"
#include "control/cutover/steps.hpp"
#include "control/records/canary.hpp"
#include "control/service/report_json.hpp"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <spdlog/spdlog.h>

#include <algorithm>

namespace pgsluice::control {
namespace {

namespace json = boost::json;
using clock = limits::clock;
using std::chrono::milliseconds;

constexpr milliseconds timeout_default{10'000};

bool is_astray(const proxy::session_info& session) {
    return session.is_astray;
}

bool has_arrived(const proxy::session_info& session) {
    return session.is_canary && !session.is_astray && !session.backend.empty();
}

}  // namespace

canary_record canary_control::now() const {
    const std::lock_guard guard(core_.mutex);
    return now_;
}

/// What the command asks for, or what is wrong with it here.
result<canary_record> canary_control::wanted(const request& given) const {
    if (given.text("RANGES") == off_word) {
        return canary_record{};
    }
    const auto service = core_.settings();
    canary_record wanted;
    wanted.is_read_only = given.text("access", "read-only") == "read-only";
    wanted.backend = given.text("to");
    if (service->find_backend(wanted.backend) == nullptr) {
        return no_such_backend(*service, wanted.backend);
    }
    if (!given.has("RANGES")) {
        return wanted;  // stages have their own
    }
    auto from = proxy::address_set::parse(words(given.text("RANGES")));
    if (!from) {
        return from.error();
    }
    wanted.from = std::move(*from);
    return wanted;
}

/// What is wrong with where the command wants to go; by whoever holds the operation lock.
std::optional<outcome> canary_control::refused_target(const result<canary_record>& wanted) const {
    if (!wanted) {
        return outcome::of(exit_code::usage, wanted.error().message);
    }
    const std::string& route = core_.route_of(*core_.settings());
    if (wanted->backend == route) {
        return outcome::of(
            exit_code::refused, "the route is " + route + " already, a canary goes elsewhere"
        );
    }
    return std::nullopt;
}

outcome canary_control::canary(const request& given, const progress_sink& tell) {
    const auto own = core_.lock.begin(operation::canary);
    if (!own) {
        return core_.lock.busy();
    }
    const auto asked = wanted(given);
    if (auto refused = refused_target(asked)) {
        return *refused;
    }
    const auto started = clock::now();
    if (auto sent = put_in_force(*asked, {{"by", given.asked_by}}); !sent) {
        return outcome::of(exit_code::failed, sent.error().message);
    }
    core_.wait_followed("canary", started + given.duration("timeout", timeout_default), tell);
    return answer(*asked, std::chrono::duration_cast<milliseconds>(clock::now() - started));
}

/// Journals the canary, with what else `record` holds, and lets it take effect; by whoever holds
/// the operation lock. Live sessions begin to move.
result<void> canary_control::put_in_force(const canary_record& wanted, json::object record) {
    for (auto& field : encode_canary(wanted)) {
        record[field.key()] = std::move(field.value());
    }
    if (auto noted = core_.append(journal_kinds::canary, record); !noted) {
        return noted;
    }
    spdlog::info("canary service={} what={}", core_.name(), json::serialize(record));
    {
        const std::lock_guard guard(core_.mutex);
        now_ = wanted;
    }
    core_.engine.set_canary(core_.id, wanted.route_in(*core_.settings()));
    return {};
}

outcome canary_control::answer(const canary_record& now, milliseconds waited) {
    const auto sessions = core_.traffic.sessions();
    json::object result = encode_canary(now);
    result["sessions"] = count_of(sessions, has_arrived);
    result["left"] = rows_json(sessions, is_astray);
    result["waited_ms"] = waited.count();
    const std::size_t left = count_of(sessions, is_astray);
    if (now.is_on() || left == 0) {
        return outcome::done(std::move(result));
    }
    return outcome::of(
        exit_code::deadline,
        "the canary is off, but " + counted(left, "session") + " could not go back yet",
        std::move(result)
    );
}

/// A cutover and its like are about all sessions, from one backend to another.
std::optional<outcome> canary_control::refused_move() const {
    const canary_record now = this->now();
    if (now.is_on()) {
        return outcome::of(
            exit_code::refused, "a canary is on to " + now.backend + "; first give canary off"
        );
    }
    const auto sessions = core_.engine.sessions(core_.id);
    const std::size_t left = count_of(sessions, is_astray);
    if (left == 0) {
        return std::nullopt;
    }
    return outcome::of(
        exit_code::refused,
        counted(left, "session") + " of a canary could not go back yet; wait, or kill them",
        {{"left", rows_json(sessions, is_astray)}}
    );
}

json::value canary_control::json(const std::vector<proxy::session_info>& sessions) const {
    const canary_record now = this->now();
    const std::size_t left = count_of(sessions, is_astray);
    if (!now.is_on() && left == 0) {
        return nullptr;
    }
    json::object fields = encode_canary(now);
    fields["sessions"] = count_of(sessions, has_arrived);
    fields["elsewhere"] = left;
    return fields;
}

}  // namespace pgsluice::control
