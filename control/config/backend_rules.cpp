// Rules between the keys of one backend, and between them and those of its service.
#include "control/config/backend_rules.hpp"

#include "control/base/words.hpp"
#include "control/config/user_files.hpp"

#include <algorithm>
#include <string_view>
#include <vector>

namespace pgsluice::control {

namespace {

void check_tls(const backend_config& backend, section<backend_config>& s) {
    using mode = proxy::backend_tls;
    const backend_tls_config& tls = backend.tls;
    if (tls.mode != mode::disable && backend.address.is_socket()) {
        s.error(
            s.at("tls.mode"),
            s.shown() + ".tls.mode is for TCP, expected disable: there is no TLS on a unix socket"
        );
        return;
    }
    if (tls.mode == mode::disable && !(tls.cert.empty() && tls.key.empty())) {
        s.error(
            s.at(tls.cert.empty() ? "tls.key" : "tls.cert"),
            s.shown() + ".tls has a certificate but no effect, expected a mode other than disable"
        );
        return;
    }
    if (tls.cert.empty() && !tls.key.empty()) {
        s.error(s.at("tls.key"), s.shown() + ".tls.key has no effect, expected \"cert\" with it");
        return;
    }
    if (tls.ca.empty()) {
        if (tls.mode == mode::verify_ca || tls.mode == mode::verify_full) {
            s.error(
                s.at("tls.mode"),
                s.shown() + ".tls.mode verifies, expected \"ca\" to name a file of certificates"
            );
        }
    } else if (tls.mode == mode::disable || tls.mode == mode::prefer) {
        s.error(
            s.at("tls.ca"),
            s.shown() + ".tls.ca has no effect, expected mode require, verify-ca or verify-full"
        );
        return;
    }
    if (tls.ca.empty() && !tls.crl.empty()) {
        s.error(s.at("tls.crl"), s.shown() + ".tls.crl has no effect, expected \"ca\" with it");
        return;
    }
    if (tls.mode == mode::disable) {
        return;
    }
    const auto read = proxy::tls_context::for_backend(tls.rules(backend.address.host));
    if (!read) {
        const std::string& why = read.error().message;
        const auto is_about = [&why](const std::string& path) {
            return !path.empty() && why.starts_with(path);
        };
        const std::string key = is_about(tls.ca + ":") ? "ca" : is_about(tls.crl) ? "crl" : "cert";
        s.error(s.at("tls." + key), s.shown() + ".tls." + key + ": " + why);
    }
}

/// `kind` is what the names of its keys begin with. False if something is wrong.
bool check_password(
    const backend_login_config& login, const std::string& kind, section<backend_config>& s
) {
    const std::string env = kind + "password_env";
    const std::string file = kind + "password_file";
    const std::string& password = login.password_env.empty() ? file : env;
    if (login.user.empty() && !(login.password_env.empty() && login.password_file.empty())) {
        s.error(
            s.at(password),
            s.shown() + "." + password + " has no effect, expected \"" + kind + "user\" with it"
        );
        return false;
    }
    if (!login.password_env.empty() && !login.password_file.empty()) {
        s.error(
            s.at(file),
            s.shown() + " has both \"" + env + "\" and \"" + file + "\", expected one of them"
        );
        return false;
    }
    if (!login.password_file.empty()) {
        if (const auto read = read_password(login.password_file); !read) {
            s.error(s.at(file), s.shown() + ": " + read.error().message);
            return false;
        }
    }
    return true;
}

void check_login(
    const service_config& service, const backend_config& backend, section<backend_config>& s
) {
    const backend_login_config& login = backend.login;
    const bool relays = service.auth.method == auth_method::passthrough;
    const bool is_whole = check_password(login, "", s);
    (void)check_password(backend.read_only_login, "read_only_", s);
    if (is_whole && !login.user.empty() && service.auth.hba_file.empty() && relays) {
        s.error(
            s.at("user"),
            s.shown() + ".user lets in clients whom nobody asks who they are with auth.method "
                        "passthrough, expected another one"
        );
    }
    if (!login.user.empty() && login.user == backend.read_only_login.user) {
        s.error(
            s.at("read_only_user"),
            s.shown() + ".read_only_user is the same role as user, expected one that may only read"
        );
    }
    const bool has_tls = backend.tls.mode != proxy::backend_tls::disable;
    if (backend.binding == protocol::channel_binding::require && !has_tls) {
        s.error(
            s.at("channel_binding"),
            s.shown() + ".channel_binding is require, expected a tls.mode other than disable"
        );
    }
}

}  // namespace

void check_canary_keys(const service_config& service, section<service_config>& s) {
    const canary_config& canary = service.canary;
    if (canary.backend.empty() != canary.cidr.empty()) {
        const bool lacks_cidr = canary.cidr.empty();
        s.error(
            s.at(lacks_cidr ? "canary.backend" : "canary.cidr"),
            s.shown() + ".canary has no \"" + (lacks_cidr ? "cidr" : "backend") +
                "\", expected both of them"
        );
        return;
    }
    if (canary.backend.empty()) {
        if (canary.access != canary_access::read_only) {
            s.error(
                s.at("canary.access"),
                s.shown() +
                    ".canary.access has no effect, expected \"cidr\" and \"backend\" with it"
            );
        }
        return;
    }
    std::vector<std::string_view> names;
    for (const backend_config& backend : service.backends) {
        if (backend.name != service.route) {
            names.push_back(backend.name);
        }
    }
    if (std::find(names.begin(), names.end(), canary.backend) == names.end()) {
        s.error(
            s.at("canary.backend"),
            s.shown() + ".canary.backend: \"" + canary.backend +
                "\" is not a backend beside the route" +
                (names.empty()
                     ? std::string()
                     : ", expected " + one_of(names) + did_you_mean(canary.backend, names))
        );
    }
}

void check_backend(
    const service_config& service, const backend_config& backend, section<backend_config>& s
) {
    check_tls(backend, s);
    check_login(service, backend, s);
}

}  // namespace pgsluice::control
