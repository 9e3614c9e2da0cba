// Every text that a refused or ended client gets, with its SQLSTATE, detail and hint.

#include "proxy/session/refusal.hpp"

namespace pgsluice::proxy::refusal {

namespace {

std::string in_seconds(milliseconds time) {
    const auto ms = time.count();
    return ms % 1000 == 0 ? std::to_string(ms / 1000) + " s" : std::to_string(ms) + " ms";
}

}  // namespace

failure too_many_clients(const service_settings& settings) {
    return {
        std::string(sqlstate::too_many_connections),
        "too many clients for service \"" + settings.name + "\"",
        "The limit of service \"" + settings.name +
            "\" is max_connections = " + std::to_string(settings.max_connections) + ".",
        {}};
}

failure no_such_database(std::string_view database) {
    return {
        "3D000",
        "database \"" + std::string(database) + "\" does not exist",
        "pgsluice has no service for it at this address.",
        {}};
}

failure disabled(const service_settings& settings) {
    return {
        std::string(sqlstate::cannot_connect_now),
        "service \"" + settings.name + "\" is disabled: it takes no new connections",
        "An operator has disabled service \"" + settings.name +
            "\"; sessions that are connected go on.",
        "Reconnect and try again later."};
}

failure too_many_failures(const service_settings& settings) {
    return {
        std::string(sqlstate::invalid_authorization),
        "too many failed logins from this address",
        "The limit of service \"" + settings.name + "\" is limits.failed_logins = " +
            std::to_string(settings.failed_logins_max) + " a minute.",
        "Try again in a minute, with the right password."};
}

failure too_many_newcomers(const service_settings& settings) {
    return {
        std::string(sqlstate::too_many_connections),
        "too many connections from this address have not logged in",
        "The limit of service \"" + settings.name +
            "\" is limits.unauthenticated = " + std::to_string(settings.unauthenticated_max) + ".",
        "Try again when some of them have."};
}

failure nobody_asked(const service_settings& settings, std::uint32_t backend) {
    return {
        std::string(sqlstate::invalid_authorization),
        "nobody has asked this client who it is",
        "Backend \"" + settings.backends[backend].name + "\" of service \"" + settings.name +
            "\" has a login of its own, so that it asks no client.",
        "Have pgsluice ask for passwords (auth.method: scram-sha-256)."};
}

failure held_too_long(const service_settings& settings, hold_reason why) {
    const std::string service = "service \"" + settings.name + "\"";
    const std::string limit = " within " + in_seconds(settings.hold_timeout);
    failure what{
        std::string(sqlstate::cannot_connect_now),
        service + " is paused and did not resume" + limit,
        "An operator holds new work of " + service +
            " while it is being moved or maintained. Nothing of what waited was executed.",
        "Reconnect and try again in a moment."};
    if (why == hold_reason::not_admitted) {
        what.message = "this client was not admitted to " + service + limit;
        what.detail = "An operator admits the clients of " + service +
                      " by their addresses. Nothing of what waited was executed.";
    }
    return what;
}

failure please_wait(const service_settings& settings, hold_reason why) {
    const std::string service = "service \"" + settings.name + "\"";
    const std::string limit = " or refused after " + in_seconds(settings.hold_timeout) + ".";
    if (why == hold_reason::not_admitted) {
        return {
            "00000",
            "this client is not admitted to " + service + " yet; your statement waits",
            "It will be executed when " + service + " admits this client," + limit,
            {}};
    }
    return {
        "00000",
        service + " is paused by an operator; your statement waits",
        "It will be executed when " + service + " resumes," + limit,
        {}};
}

failure not_admitted(const service_settings& settings, const std::string& message) {
    return {
        std::string(sqlstate::cannot_connect_now),
        message,
        "Service \"" + settings.name + "\" does not admit this client's address at the moment.",
        "Reconnect and try again later."};
}

failure no_replication(const service_settings& settings) {
    return {
        std::string(sqlstate::read_only_sql_transaction),
        "replication connections are not possible while forced read-only",
        "Service \"" + settings.name +
            "\" is forced read-only by an operator, and the commands of a replication connection "
            "cannot be kept from writing.",
        "Connect to the server itself, or wait until the operator ends it (sluicectl readonly "
        "off)."};
}

failure no_login_rule(
    const service_settings& settings,
    const protocol::StartupMessage& startup,
    const std::string& address,
    bool is_encrypted
) {
    const auto quoted = [](std::string_view text) {
        return "\"" + std::string(text) + "\"";
    };
    return {
        std::string(sqlstate::invalid_authorization),
        "no rule lets in host " + quoted(address.substr(0, address.rfind(':'))) + ", user " +
            quoted(startup.user()) + ", database " + quoted(startup.database()) + ", " +
            (is_encrypted ? "SSL encryption" : "no encryption"),
        "The rules are those of auth.hba_file of service " + quoted(settings.name) + ".",
        {}};
}

failure no_lookup(const service_settings& settings) {
    return {
        std::string(sqlstate::cannot_connect_now),
        "the password of this user cannot be looked up at the moment",
        "Service \"" + settings.name + "\" asks its server for it (auth.query), in vain.",
        "Try again in a moment."};
}

failure not_a_balancer(const service_settings& settings) {
    return {
        std::string(sqlstate::invalid_authorization),
        "this address takes connections from trusted load balancers only",
        "Service \"" + settings.name + "\" expects a PROXY protocol header here.",
        "Connect through the load balancer, or to an address without proxy_protocol."};
}

failure tls_required(const service_settings& settings) {
    return {
        std::string(sqlstate::invalid_authorization),
        "service \"" + settings.name + "\" takes connections with TLS only",
        {},
        "Connect with sslmode=require, or better verify-full."};
}

failure backend_lost(const service_settings& settings, std::uint32_t backend) {
    return {
        std::string(sqlstate::connection_failure),
        "backend \"" + settings.backends[backend].name + "\" closed the connection unexpectedly",
        "Service \"" + settings.name + "\".",
        "Reconnect and find out whether the last statement took effect."};
}

failure violation(const service_settings& settings, const std::string& what) {
    return {
        std::string(sqlstate::protocol_violation), what, "Service \"" + settings.name + "\".", {}};
}

failure shutting_down(const service_settings& settings) {
    return {
        std::string(sqlstate::admin_shutdown),
        "terminating connection because pgsluice is shutting down",
        "An operator stops the proxy in front of service \"" + settings.name + "\".",
        {}};
}

}  // namespace pgsluice::proxy::refusal
