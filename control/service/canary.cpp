// `canary`: clients of some addresses on another backend. In the journal before it takes effect;
// what a restart finds there is in force from its first client on.
#include "control/records/canary.hpp"

#include "control/commands/argument_rules.hpp"
#include "control/config/resolve.hpp"
#include "control/cutover/steps.hpp"
#include "control/service/report_json.hpp"
#include "control/service/service.hpp"

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
constexpr milliseconds progress_every{200};

bool has_followed(const proxy::service_progress& p) {
    return p.to_follow == 0;
}

bool is_astray(const proxy::session_info& session) {
    return session.is_astray;
}

bool has_arrived(const proxy::session_info& session) {
    return session.is_canary && !session.is_astray && !session.backend.empty();
}

}  // namespace

canary_record service_operations::canary_now() const {
    const std::lock_guard guard(mutex_);
    return canary_;
}

/// What the command asks for, or what is wrong with it here.
result<canary_record> service_operations::wanted_canary(const request& given) const {
    if (given.text("RANGES") == off_word) {
        return canary_record{};
    }
    const config_pointer service = settings();
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

/// What is wrong with where the command wants to go; by whoever has the turn.
std::optional<outcome> service_operations::refused_target(const result<canary_record>& wanted
) const {
    if (!wanted) {
        return outcome::of(exit_code::usage, wanted.error().message);
    }
    const std::string& route = settings()->backends[traffic_.current_route().backend].name;
    if (wanted->backend == route) {
        return outcome::of(
            exit_code::refused, "the route is " + route + " already, a canary goes elsewhere"
        );
    }
    return std::nullopt;
}

outcome service_operations::canary(const request& given, const progress_sink& tell) {
    if (given.has("stages")) {
        return begin_stages(given);
    }
    if (given.has("pause") || given.has("resume") || given.has("skip")) {
        return change_stages(given);
    }
    const auto own = begin("canary");
    if (!own) {
        return busy();
    }
    const auto wanted = wanted_canary(given);
    if (auto refused = refused_target(wanted)) {
        return *refused;
    }
    const auto started = clock::now();
    if (auto sent = send_canary(*wanted, {{"by", given.asked_by}}); !sent) {
        return outcome::of(exit_code::failed, sent.error().message);
    }
    wait_followed("canary", started + given.duration("timeout", timeout_default), tell);
    return canary_outcome(
        *wanted, std::chrono::duration_cast<milliseconds>(clock::now() - started)
    );
}

/// Journals the canary, with what else `record` holds, and lets it take effect; by whoever has the
/// turn. Live sessions begin to move.
result<void> service_operations::send_canary(const canary_record& wanted, json::object record) {
    for (auto& field : encode_canary(wanted)) {
        record[field.key()] = std::move(field.value());
    }
    if (auto noted = append(journal_kinds::canary, record); !noted) {
        return noted;
    }
    spdlog::info("canary service={} what={}", name(), json::serialize(record));
    {
        const std::lock_guard guard(mutex_);
        canary_ = wanted;
    }
    around_.engine.set_canary(id_, wanted.route_in(*settings()));
    return {};
}

/// Until every live session has moved or has turned out to stay, the deadline or an abort.
void service_operations::wait_followed(
    std::string_view step, clock::time_point deadline, const progress_sink& tell
) {
    const auto started = clock::now();
    bool is_done = false;
    while (!is_done && !aborted_ && clock::now() < deadline) {
        is_done = traffic_.wait(has_followed, std::min(deadline, clock::now() + progress_every));
        if (!is_done) {
            const auto waited = std::chrono::duration_cast<milliseconds>(clock::now() - started);
            tell(
                {{"step", step},
                 {"text", counted(traffic_.progress().to_follow, "session") + " on the way"},
                 {"elapsed_ms", waited.count()}}
            );
        }
    }
}

outcome service_operations::canary_outcome(const canary_record& now, milliseconds waited) {
    const auto sessions = traffic_.sessions();
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
std::optional<outcome> service_operations::refused_by_canary() const {
    const canary_record now = canary_now();
    if (now.is_on()) {
        return outcome::of(
            exit_code::refused, "a canary is on to " + now.backend + "; first give canary off"
        );
    }
    const auto sessions = around_.engine.sessions(id_);
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

json::value service_operations::canary_json(const std::vector<proxy::session_info>& sessions
) const {
    const canary_record now = canary_now();
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
