// YAML text -> config. One reader walks the document beside the key tables and collects every
// error:
//
//   document  = section(globals) + services
//   services  = { NAME: section(services) + backends }
//   backends  = { NAME: section(backends) }
//
// A section's rules across keys (route names a backend, ...) are checked after its keys were read,
// at the position of the key they are about.
#include "control/config/backend_rules.hpp"
#include "control/config/console_rules.hpp"
#include "control/config/database_rules.hpp"
#include "control/config/user_files.hpp"
#include "control/config/values.hpp"
#include "control/config/yaml_section.hpp"

namespace pgsluice::control {
namespace {

class reader {
public:
    config_outcome read(std::string_view text);

private:
    void read_document(const YAML::Node& document);
    void read_services(const YAML::Node& map, place at);
    void read_service(const std::string& name, const YAML::Node& node, place at);
    void read_listener(service_config& service, const YAML::Node& node, place at);
    void read_backends(service_config& service, const YAML::Node& map, place at);
    void read_backend(service_config& service, const std::string& name, const YAML::Node&, place);
    void check_service(service_config& service, section<service_config>& s, place at);
    void check_auth(const service_config& service, section<service_config>& s);
    void check_rules(const service_config& service, section<service_config>& s);
    static void check_tls(const service_config& service, section<service_config>& s);
    static void check_route(service_config& service, section<service_config>& s, place at);
    void check_listeners();
    bool check_name(std::string_view what, const std::string& name, place at);
    void error(place at, std::string text) {
        outcome_.errors.push_back({at.line, at.column, std::move(text)});
    }

    config value_;
    /// Where a service and some of its keys stand; the service itself for those that do not.
    struct service_places {
        place name{};
        place listen{};
        place databases{};
    };
    std::map<std::string, service_places> service_places_;
    config_outcome outcome_;
};

bool reader::check_name(std::string_view what, const std::string& name, place at) {
    if (is_valid_name(name)) {
        return true;
    }
    const std::string kind = "a valid name of a " + std::string(what);
    error(at, not_a(name, kind, "at most 63 letters, digits, _ and -"));
    return false;
}

/// An element of `listen` that says more than its address.
void reader::read_listener(service_config& service, const YAML::Node& node, place at) {
    listen_config listener;
    section<listen_config> s(
        listener, listen_keys(), "services." + service.name + ".listen", "", outcome_.errors
    );
    s.read(node);
    s.require("address", at);
    if (s.has("address") && listens_on(service, listener.address)) {
        s.error(
            s.at("address"),
            s.shown() + ": \"" + listener.address.text() +
                "\" is listed twice, expected each address once"
        );
        return;
    }
    const bool is_required = listener.proxy_protocol == proxy_protocol_mode::required;
    if (is_required && !s.has("trusted")) {
        s.error(
            s.at("proxy_protocol"),
            s.shown() + ".proxy_protocol is required, expected \"trusted\" to list the load "
                        "balancers"
        );
    } else if (!is_required && s.has("trusted")) {
        s.error(
            s.at("trusted"),
            s.shown() + ".trusted has no effect, expected \"proxy_protocol: required\" with it"
        );
    }
    service.listen.push_back(std::move(listener));
}

void reader::read_backend(
    service_config& service, const std::string& name, const YAML::Node& node, place at
) {
    backend_config backend;
    backend.name = name;
    section<backend_config> s(
        backend,
        backend_keys(),
        "services." + service.name + ".backends." + name,
        "",
        outcome_.errors
    );
    if (node.IsMap()) {
        s.read(node);
        s.require("host", at);
        check_backend(service, backend, s);
    } else {
        error(
            place_of(node, at),
            s.shown() + " is " + kind_of(node) + ", expected {host: ..., port: ...}"
        );
    }
    service.backends.push_back(std::move(backend));
}

void reader::read_backends(service_config& service, const YAML::Node& map, place at) {
    if (!map.IsMap() || map.size() == 0) {
        error(
            at,
            "services." + service.name + ".backends is " + (map.IsMap() ? "empty" : kind_of(map)) +
                ", expected NAME: {host: ..., port: ...}"
        );
        return;
    }
    for (const auto& entry : map) {
        const place where = place_of(entry.first, at);
        const std::string name = entry.first.IsScalar() ? entry.first.Scalar() : "";
        if (service.find_backend(name) != nullptr) {
            error(where, "backend \"" + name + "\" is given twice, expected each name once");
        } else if (check_name("backend", name, where)) {
            read_backend(service, name, entry.second, where);
        }
    }
}

void reader::check_route(service_config& service, section<service_config>& s, place at) {
    if (service.backends.empty()) {
        return;
    }
    if (!s.has("route")) {
        if (service.backends.size() == 1) {
            service.route = service.backends.front().name;
        } else {
            s.error(at, s.shown() + " has no \"route\", expected the name of one of its backends");
        }
        return;
    }
    if (service.find_backend(service.route) == nullptr) {
        std::vector<std::string_view> names;
        for (const auto& backend : service.backends) {
            names.push_back(backend.name);
        }
        s.error(
            s.at("route"),
            s.shown() + ".route: " + not_a(service.route, "a backend", one_of(names)) +
                did_you_mean(service.route, names)
        );
    }
}

void reader::check_auth(const service_config& service, section<service_config>& s) {
    const auth_config& auth = service.auth;
    if (!auth.query.empty() && auth.query_user.empty() && service.admin.user.empty()) {
        s.error(
            s.at("auth.query"),
            s.shown() + ".auth.query needs a login, expected \"admin.user\" or \"auth.query_user\""
        );
    }
    if (!auth.hba_file.empty()) {
        check_rules(service, s);
        return;
    }
    const bool needs_users =
        auth.method == auth_method::scram_sha_256 || auth.method == auth_method::md5;
    if (needs_users && auth.users_file.empty() && auth.query.empty() && !s.has("auth.users_file")) {
        s.error(
            s.at("auth.method"),
            s.shown() + ".auth.method asks clients for passwords, expected \"users_file\" or "
                        "\"query\" beside it"
        );
    }
    if (auth.method == auth_method::trust && !auth.users_file.empty()) {
        const place at = s.at("auth.method");
        outcome_.warnings.push_back(
            {at.line,
             at.column,
             s.shown() + ".auth.method is trust: everybody is let in as any user whose password or "
                         "md5 hash is in users_file"}
        );
    }
}

/// What the rules need that stands elsewhere.
void reader::check_rules(const service_config& service, section<service_config>& s) {
    using method = proxy::login_method;
    const place at = s.at("auth.hba_file");
    const std::string& path = service.auth.hba_file;
    const auto rules = read_login_rules(path);
    if (!rules) {
        return;  // reported with the key
    }
    const auto lacks = [&](method which, const std::string& what) {
        if (const std::size_t line = rules->line_of(which)) {
            s.error(at, path + ":" + std::to_string(line) + ": " + what);
        }
    };
    if (s.has("auth.method")) {
        s.error(
            s.at("auth.method"),
            s.shown() + ".auth has both \"method\" and \"hba_file\", expected one of them"
        );
    }
    if (service.auth.users_file.empty() && service.auth.query.empty() &&
        !s.has("auth.users_file")) {
        const std::string what =
            "asks clients for passwords, expected \"users_file\" or \"query\" beside it";
        lacks(method::scram_sha_256, what);
        lacks(method::md5, what);
    }
    const auto maps = service.auth.ident_file.empty() ? result<proxy::user_maps>()
                                                      : read_user_maps(service.auth.ident_file);
    for (const auto& [name, line] : rules->maps()) {
        if (maps && !maps->has(name)) {
            const std::string where = path + ":" + std::to_string(line);
            s.error(at, where + ": map \"" + name + "\" is not there, expected it in ident_file");
        }
    }
    if (service.tls.cert.empty() || service.tls.ca.empty()) {
        if (const std::size_t line = rules->line_of_certificates()) {
            const std::string what = "asks for certificates, expected \"tls.cert\" and \"tls.ca\"";
            s.error(at, path + ":" + std::to_string(line) + ": " + what);
        }
    }
}

void reader::check_tls(const service_config& service, section<service_config>& s) {
    const client_tls_config& tls = service.tls;
    const bool has_tickets = tls.session_tickets.count() > 0;
    const char* const idle = !tls.ca.empty()    ? "tls.ca"
                             : !tls.crl.empty() ? "tls.crl"
                             : has_tickets      ? "tls.session_tickets"
                                                : nullptr;
    if (tls.cert.empty() && idle != nullptr) {
        s.error(s.at(idle), s.shown() + "." + idle + " has no effect, expected \"cert\" with it");
        return;
    }
    if (tls.cert.empty()) {
        if (tls.mode >= proxy::client_tls::require) {
            s.error(
                s.at("tls.mode"),
                s.shown() + ".tls.mode is " + std::string(to_string(tls.mode)) +
                    ", expected \"cert\" to name a certificate"
            );
        } else if (!tls.key.empty()) {
            s.error(
                s.at("tls.key"), s.shown() + ".tls.key has no effect, expected \"cert\" with it"
            );
        }
        return;
    }
    if (tls.ca.empty() && !tls.crl.empty()) {
        s.error(s.at("tls.crl"), s.shown() + ".tls.crl has no effect, expected \"ca\" with it");
        return;
    }
    if (tls.ca.empty() && tls.mode > proxy::client_tls::require) {
        s.error(
            s.at("tls.mode"),
            s.shown() + ".tls.mode verifies, expected \"ca\" to name a file of certificates"
        );
        return;
    }
    if (!tls.ca.empty() && has_tickets) {
        s.error(
            s.at("tls.session_tickets"),
            s.shown() + ".tls.session_tickets would let clients in whose certificate nobody looks "
                        "at again, expected no \"ca\" with it"
        );
        return;
    }
    if (const auto read = proxy::tls_context::for_clients(tls.rules()); !read) {
        const std::string& why = read.error().message;
        const bool is_crl = !tls.crl.empty() && why.starts_with(tls.crl);
        s.error(s.at(is_crl ? "tls.crl" : "tls.cert"), s.shown() + ".tls: " + why);
    }
}

/// Rules between keys of one service.
void reader::check_service(service_config& service, section<service_config>& s, place at) {
    s.require("listen", at);
    s.require("backends", at);
    check_route(service, s, at);
    check_canary_keys(service, s);
    check_auth(service, s);
    for (const console_problem& wrong : check_console(service)) {
        s.error(s.at(wrong.key), s.shown() + "." + wrong.text);
    }
    check_tls(service, s);
    const bool is_logical = service.replication.kind == replication_kind::logical;
    if (is_logical && service.replication.subscription.empty()) {
        s.error(
            s.at("replication.kind"),
            s.shown() + ".replication is logical, expected \"subscription\" to name the "
                        "subscription on the new backend"
        );
    }
    if (service.cutover.lacks_fence_commands()) {
        s.error(
            s.at("cutover.fence"),
            s.shown() + ".cutover.fence is command, expected fence_command and unfence_command"
        );
    }
    if (!is_logical && service.replication.reverse == reverse_mode::on) {
        s.error(
            s.at("replication.reverse"),
            s.shown() + ".replication.reverse is on, expected replication.kind logical: nothing "
                        "else can be turned round"
        );
    }
}

void reader::read_service(const std::string& name, const YAML::Node& node, place at) {
    service_config service;
    service.name = name;
    section<service_config> s(
        service, service_keys(), "services." + name, "backends", outcome_.errors
    );
    if (!node.IsMap()) {
        error(
            place_of(node, at),
            s.shown() + " is " + kind_of(node) + ", expected a mapping with listen and backends"
        );
        return;
    }
    s.on_mapping = [&](std::string_view list, const YAML::Node& element, place where) {
        const bool is_listener = list == "listen";
        if (is_listener) {
            read_listener(service, element, where);
        }
        return is_listener;
    };
    const YAML::Node backends = s.read(node);
    if (s.has("backends")) {
        read_backends(service, backends, s.at("backends"));
    }
    check_service(service, s, at);
    service_places_[name] = {
        at, s.has("listen") ? s.at("listen") : at, s.has("databases") ? s.at("databases") : at};
    value_.services.push_back(std::move(service));
}

void reader::read_services(const YAML::Node& map, place at) {
    if (!map.IsMap() || map.size() == 0) {
        error(
            at,
            std::string("services is ") + (map.IsMap() ? "empty" : kind_of(map)) +
                ", expected NAME: {listen: ..., backends: ...}"
        );
        return;
    }
    for (const auto& entry : map) {
        const place where = place_of(entry.first, at);
        const std::string name = entry.first.IsScalar() ? entry.first.Scalar() : "";
        if (service_places_.contains(name)) {
            error(where, "service \"" + name + "\" is given twice, expected each name once");
        } else if (check_name("service", name, where)) {
            read_service(name, entry.second, where);
        }
    }
}

/// Rules between services that are reached at one address.
void reader::check_listeners() {
    for (const sharing_problem& wrong : check_sharing(value_.services)) {
        const service_places& places = service_places_[wrong.service];
        const bool is_databases = wrong.key == "databases";
        error(is_databases ? places.databases : places.listen, wrong.text);
    }
}

void reader::read_document(const YAML::Node& document) {
    if (!document.IsMap()) {
        error(
            place_of(document, place{}),
            "the file holds " + kind_of(document) + ", expected a mapping with services"
        );
        return;
    }
    section<config> s(value_, global_keys(), "", "services", outcome_.errors);
    const YAML::Node services = s.read(document);
    if (s.has("services")) {
        read_services(services, s.at("services"));
        check_listeners();
    } else {
        error(place{}, "the file has no \"services\", expected at least one");
    }
    if (value_.http) {
        const place at = s.at("http");
        outcome_.warnings.push_back(
            {at.line, at.column, "http is accepted, but not served by this version"}
        );
    }
}

config_outcome reader::read(std::string_view text) {
    try {
        const std::vector<YAML::Node> documents = YAML::LoadAll(std::string(text));
        if (documents.size() > 1) {
            error(place_of(documents[1], place{}), "a second YAML document, expected one");
        }
        read_document(documents.empty() ? YAML::Node() : documents.front());
    } catch (const YAML::Exception& e) {
        error(place_of(e.mark), "YAML: " + e.msg + ", expected a well-formed document");
    }
    const auto by_place = [](const config_problem& a, const config_problem& b) {
        return std::pair(a.line, a.column) < std::pair(b.line, b.column);
    };
    std::stable_sort(outcome_.errors.begin(), outcome_.errors.end(), by_place);
    if (outcome_.errors.empty()) {
        outcome_.value = std::move(value_);
    }
    return std::move(outcome_);
}

}  // namespace

config_outcome parse_config(std::string_view yaml) {
    return reader().read(yaml);
}

}  // namespace pgsluice::control
