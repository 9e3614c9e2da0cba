// `readonly on --by user`: what differs where a login of the server's, its read_only_user, keeps
// sessions from writing instead of the guard. They have the guard until they have that login, and
// for good where they cannot have it.
#include "control/config/resolve.hpp"
#include "control/cutover/steps.hpp"
#include "control/postgres/read_only_role.hpp"
#include "control/service/read_only_control.hpp"
#include "control/service/report_json.hpp"

#include <boost/json/array.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>

namespace pgsluice::control {
namespace {

namespace json = boost::json;
using clock = limits::clock;
using std::chrono::milliseconds;

using session_list = std::vector<proxy::session_info>;

bool awaits_login(const proxy::session_info& session) {
    return session.awaits_login;
}

/// Where the role is looked at: every database that a session is in now, else where it would be.
std::vector<std::string> databases_in_use(
    const service_config& service, const backend_config& backend, const session_list& sessions
) {
    if (!backend.dbname.empty()) {
        return {backend.dbname};
    }
    std::set<std::string> names;
    for (const proxy::session_info& session : sessions) {
        if (!session.backend.empty()) {
            names.insert(session.database);
        }
    }
    if (names.empty()) {
        names.insert(service.admin.dbname.empty() ? "postgres" : service.admin.dbname);
    }
    return {names.begin(), names.end()};
}

}  // namespace

/// Nothing if the route's backend has one, it lets the role in and the role has no right to write.
std::optional<outcome> read_only_control::refused_user(const limits& until) {
    const auto service = core_.settings();
    const backend_config& backend = service->backends[core_.traffic.current_route().backend];
    const auto login = read_login(backend, backend.read_only_login);
    if (!login) {
        return outcome::of(exit_code::failed, login.error().message);
    }
    if (*login == nullptr) {
        return outcome::of(
            exit_code::usage, "backend " + backend.name + " has no read_only_user, expected one"
        );
    }
    const auto databases = databases_in_use(*service, backend, core_.traffic.sessions());
    const auto rights = find_rights_to_write(*service, backend, **login, databases, until);
    if (!rights) {
        return outcome_of(rights.error());
    }
    if (rights->empty()) {
        return std::nullopt;
    }
    return outcome::of(
        exit_code::refused,
        fmt::format(
            "role {} may write on {}: {}; revoke that, or use --by guard",
            (*login)->user,
            backend.name,
            fmt::join(*rights, ", ")
        ),
        {{"rights", json::array(rights->begin(), rights->end())}}
    );
}

/// From the one to the other while the service is read-only, which it stays all the time.
outcome read_only_control::change_means(
    const read_only_record& now,
    read_only_means to,
    const request& given,
    const limits& until,
    const progress_sink& tell
) {
    read_only_record next = now;
    next.means = to;
    if (auto noted = note(next, given.asked_by); !noted) {
        return outcome::of(exit_code::failed, noted.error().message);
    }
    core_.engine.force_access(core_.id, next.access());
    core_.wait_followed("readonly", until.deadline, tell);
    json::object result{
        {"access", "read-only"}, {"by", to_string(to)}, {"fence", to_string(next.fence)}};
    add_logins(result);
    return outcome::done(std::move(result));
}

/// How many have the login, and who still has another than it should have.
void read_only_control::add_logins(json::object& result) const {
    const auto sessions = core_.engine.sessions(core_.id);
    const auto has_login = [](const proxy::session_info& each) {
        return each.is_restricted;
    };
    result["restricted"] = count_of(sessions, has_login);
    result["left"] = rows_json(sessions, awaits_login);
}

/// After `off`: whoever still has the login cannot write yet.
outcome read_only_control::own_logins_outcome(milliseconds waited) {
    json::object result{{"access", "read-write"}};
    add_logins(result);
    result["waited_ms"] = waited.count();
    const std::size_t left = count_of(core_.engine.sessions(core_.id), awaits_login);
    if (left == 0) {
        return outcome::done(std::move(result));
    }
    return outcome::of(
        exit_code::deadline,
        "access is read-write, but " + counted(left, "session") +
            " could not go back from the read-only login yet; see left, then give reconnect",
        std::move(result)
    );
}

/// A cutover and its like carry sessions over as who they are.
std::optional<outcome> read_only_control::refused_move() const {
    const read_only_record now = this->now();
    if (now.state == read_only_state::on && now.means == read_only_means::user) {
        return outcome::of(
            exit_code::refused,
            "sessions are read-only by a login; first give readonly on --by guard, or readonly off"
        );
    }
    const auto sessions = core_.engine.sessions(core_.id);
    const std::size_t left = count_of(sessions, awaits_login);
    if (left == 0) {
        return std::nullopt;
    }
    return outcome::of(
        exit_code::refused,
        counted(left, "session") + " could not go back from a read-only login yet; wait, or kill "
                                   "them",
        {{"left", rows_json(sessions, awaits_login)}}
    );
}

}  // namespace pgsluice::control
