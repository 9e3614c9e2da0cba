// How far a login gets, layer by layer, so that an operator knows which wall was hit.
#include "control/preflight/login_reach.hpp"

#include "control/base/words.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace pgsluice::control {

namespace {

constexpr std::size_t logins_max = 50;
constexpr std::chrono::milliseconds login_within{2'000};

struct sign {
    std::string_view words;
    std::string_view layer;
};

/// In the order of the layers; of one attempt's signs the first counts.
constexpr std::array signs = std::to_array<sign>({
    {"could not translate host name", "name"},
    {"Connection refused", "tcp"},
    {"No route to host", "tcp"},
    {"Network is unreachable", "tcp"},
    {"timeout expired", "tcp"},
    {"did not answer in time", "tcp"},
    {"No such file or directory", "tcp"},
    {"server does not support SSL", "tls"},
    {"SSL error", "tls"},
    {"server certificate for", "tls"},
    {"root certificate file", "tls"},
    {"pg_hba.conf", "pg_hba"},
    {"no password supplied", "password"},
    {"authentication failed", "password"},
    {"database \"", "database"},
    {"role \"", "role"},
    {"too many", "connections"},
    {"remaining connection slots", "connections"},
});

std::string mend_of(std::string_view layer, const pg_login& login) {
    const std::string& server = login.server;
    if (layer == "name") {
        return fmt::format("mend `host` of backend {}, or the name service", server);
    }
    if (layer == "tcp") {
        return fmt::format(
            "start {}, or open {} to this machine: listen_addresses, firewall",
            server,
            login.address.port
        );
    }
    if (layer == "tls") {
        return fmt::format("mend `tls` of backend {}, or its server's certificate", server);
    }
    if (layer == "pg_hba") {
        return fmt::format(
            "add a line for {} and {} to pg_hba.conf of {}; on {}: SELECT pg_reload_conf()",
            login.admin.user,
            login.admin.dbname,
            server,
            server
        );
    }
    if (layer == "password") {
        return fmt::format("on {}: ALTER ROLE {} PASSWORD '...'", server, login.admin.user);
    }
    if (layer == "role") {
        return fmt::format("on {}: CREATE ROLE {} LOGIN", server, login.admin.user);
    }
    if (layer == "database") {
        return fmt::format(
            "on {0}: CREATE DATABASE {1}; or on {0}: GRANT CONNECT ON DATABASE {1} TO {2}",
            server,
            login.admin.dbname,
            login.admin.user
        );
    }
    return fmt::format("the log of {} has the reason", server);
}

/// Whether an earlier cutover's fence keeps everybody out of that database, until this one begins.
bool is_to_be_lifted(const checked_pair& pair, const std::string& database) {
    const auto& fence = pair.expected.to_fence;
    return fence && fence->method == fence_method::revoke_connect &&
           fence->connect.contains(database);
}

}  // namespace

/// libpq tries every address of a name and tells of each: the one that got furthest is the one
/// where the server is ("localhost" is ::1 first, where often nobody listens).
wall wall_of(std::string_view message, const pg_login& login) {
    constexpr std::string_view next_attempt = "connection to server";
    const sign* furthest = nullptr;
    while (!message.empty()) {
        const std::size_t end = std::min(message.find(next_attempt, 1), message.size());
        const std::string_view attempt = message.substr(0, end);
        message.remove_prefix(end);
        const auto* const found = std::ranges::find_if(signs, [attempt](const sign& each) {
            return attempt.find(each.words) != attempt.npos;
        });
        if (found != signs.end() && (furthest == nullptr || furthest < found)) {
            furthest = found;
        }
    }
    const std::string_view layer = furthest == nullptr ? "startup" : furthest->layer;
    return {layer, mend_of(layer, login)};
}

step_result<void> check_reach(const checked_pair& pair, verdicts& found, const limits& until) {
    std::size_t tried = 0;
    std::size_t asked_for_password = 0;
    for (const auto& [user, database] : pair.expected.logins) {
        if (tried == logins_max) {
            break;
        }
        ++tried;
        pg_login login = pair.to_login;
        login.admin.user = user;
        login.admin.dbname = database;
        login.admin.passfile = "/dev/null/none";  // no file: nobody has a password
        const limits soon{
            std::min(until.deadline, limits::clock::now() + login_within), until.aborted};
        const auto opened = pg_client::connect(login, soon);
        if (opened) {
            continue;
        }
        if (opened.error().why == setback::aborted) {
            return opened.error();
        }
        const std::string& message = opened.error().text;
        const wall hit = wall_of(message, login);
        if (hit.layer == "database" && is_to_be_lifted(pair, database)) {
            continue;
        }
        if (message.find("no password supplied") != message.npos) {
            ++asked_for_password;
        } else {
            found.bad(
                fmt::format("{} in {}: {}: {}", user, database, hit.layer, message), hit.mend
            );
        }
    }
    if (found.findings() == 0) {
        found.good(fmt::format(
            "{} let in, {} asked for a password",
            counted(tried - asked_for_password, "user"),
            asked_for_password
        ));
    }
    return {};
}

}  // namespace pgsluice::control
