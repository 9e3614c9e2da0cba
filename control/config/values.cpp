// Values with rules of their own: addresses, paths, libpq's connection strings.
#include "control/config/values.hpp"

#include "control/config/user_files.hpp"
#include "proxy/access/address_set.hpp"

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <libpq-fe.h>

#include <algorithm>
#include <memory>

namespace pgsluice::control {
namespace {

/// Parameters that pgsluice sets itself or that do not belong into a configuration file.
std::optional<std::string> refused_parameter(std::string_view keyword) {
    constexpr std::array<std::string_view, 3> own = {"host", "hostaddr", "port"};
    if (std::find(own.begin(), own.end(), keyword) != own.end()) {
        return "admin.conninfo sets " + std::string(keyword) +
               ", expected none: the address is the backend's";
    }
    if (keyword == "password") {
        return "admin.conninfo holds a password, expected admin.passfile to name a file with it";
    }
    return std::nullopt;
}

}  // namespace

std::string quoted(std::string_view text) {
    return boost::json::serialize(boost::json::value(text));
}

problem set_workers(config& target, std::string_view text) {
    if (text == "auto") {
        target.workers = 0;
        return std::nullopt;
    }
    if (set_number<config, 1, 256, &config::workers>(target, text)) {
        return not_a(text, "valid", "auto or a whole number from 1 to 256");
    }
    return std::nullopt;
}

std::vector<std::string> show_workers(const config& target) {
    return {target.workers == 0 ? "auto" : std::to_string(target.workers)};
}

problem set_http(config& target, std::string_view text) {
    const auto address = parse_host_port(text, 0);
    if (!address) {
        return address.error().message;
    }
    if (address->is_socket()) {
        return not_a(text, "valid", "host:port");
    }
    target.http = *address;
    return std::nullopt;
}

std::vector<std::string> show_http(const config& target) {
    return target.http ? std::vector{quoted(target.http->text())} : std::vector<std::string>{};
}

problem set_stats_period(config& target, std::string_view text) {
    constexpr std::chrono::seconds shortest{1};
    const auto wrong = set_duration<config, &config::stats, &stats_config::period>(target, text);
    if (!wrong && target.stats.period < shortest) {
        return not_a(text, "valid", "1s at least");
    }
    return wrong;
}

problem set_control_socket(config& target, std::string_view text) {
    constexpr std::size_t path_bytes_max = 107;  // sockaddr_un::sun_path less its terminator
    if (text.empty() || text.size() > path_bytes_max) {
        return not_a(text, "valid", "a path of 1 to 107 bytes (the limit of a unix socket)");
    }
    return set_text<config, &config::control, &control_config::socket>(target, text);
}

problem set_state_dir(config& target, std::string_view text) {
    if (text.empty()) {
        return not_a(text, "valid", "a directory");
    }
    return set_text<config, &config::control, &control_config::state_dir>(target, text);
}

bool listens_on(const service_config& service, const host_port& address) {
    return std::any_of(
        service.listen.begin(),
        service.listen.end(),
        [&](const listen_config& each) { return each.address == address; }
    );
}

problem add_listen(service_config& target, std::string_view text) {
    listen_config added;
    if (auto wrong = set_listen_address(added, text)) {
        return wrong;
    }
    if (listens_on(target, added.address)) {
        return "\"" + std::string(text) + "\" is listed twice, expected each address once";
    }
    target.listen.push_back(std::move(added));
    return std::nullopt;
}

std::vector<std::string> show_listen(const service_config& target) {
    std::vector<std::string> texts;
    for (const listen_config& each : target.listen) {
        std::string text = quoted(each.address.text());
        if (each.proxy_protocol == proxy_protocol_mode::required) {
            std::string trusted;
            for (const std::string& shown : show_trusted(each)) {
                trusted += (trusted.empty() ? "" : ", ") + shown;
            }
            text = "{address: " + text + ", proxy_protocol: required, trusted: [" + trusted + "]}";
        }
        texts.push_back(std::move(text));
    }
    return texts;
}

problem set_listen_address(listen_config& target, std::string_view text) {
    const auto address = parse_host_port(text, listen_port_default);
    if (!address) {
        return address.error().message;
    }
    target.address = *address;
    return std::nullopt;
}

std::vector<std::string> show_listen_address(const listen_config& target) {
    return {quoted(target.address.text())};
}

problem add_trusted(listen_config& target, std::string_view text) {
    target.trusted.emplace_back(text);
    const auto set = proxy::address_set::parse(target.trusted);
    if (!set) {
        return set.error().message;
    }
    if (text == "none" || text.find('=') != std::string_view::npos) {
        return not_a(text, "valid", "ranges without a share, local or all");
    }
    return std::nullopt;
}

std::vector<std::string> show_trusted(const listen_config& target) {
    std::vector<std::string> texts;
    for (const std::string& text : target.trusted) {
        texts.push_back(quoted(text));
    }
    return texts;
}

problem set_auth(service_config& target, std::string_view text) {
    if (text == "cert" || text == "reject") {
        return "auth method \"" + std::string(text) +
               "\" is for some connections only, expected it in a file named by \"hba_file\"";
    }
    return set_choice<service_config, auth_method, &service_config::auth, &auth_config::method>(
        target, text
    );
}

problem set_users_file(service_config& target, std::string_view text) {
    using file = auth_config;
    if (auto wrong =
            set_text<service_config, &service_config::auth, &file::users_file>(target, text)) {
        return wrong;
    }
    protocol::user_list users;
    const auto read = text.empty() ? result<void>{} : read_users(target.auth.users_file, users);
    return read ? std::nullopt : problem(read.error().message);
}

problem set_hba_file(service_config& target, std::string_view text) {
    using file = auth_config;
    if (auto wrong =
            set_text<service_config, &service_config::auth, &file::hba_file>(target, text)) {
        return wrong;
    }
    if (text.empty()) {
        return std::nullopt;
    }
    const auto read = read_login_rules(target.auth.hba_file);
    return read ? std::nullopt : problem(read.error().message);
}

problem set_ident_file(service_config& target, std::string_view text) {
    using file = auth_config;
    if (auto wrong =
            set_text<service_config, &service_config::auth, &file::ident_file>(target, text)) {
        return wrong;
    }
    const auto read =
        text.empty() ? result<proxy::user_maps>() : read_user_maps(target.auth.ident_file);
    return read ? std::nullopt : problem(read.error().message);
}

problem set_conninfo(service_config& target, std::string_view text) {
    if (auto wrong = set_text<service_config, &service_config::admin, &admin_config::conninfo>(
            target, text
        )) {
        return wrong;
    }
    char* message = nullptr;
    const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> options(
        PQconninfoParse(target.admin.conninfo.c_str(), &message), &PQconninfoFree
    );
    const std::unique_ptr<char, decltype(&PQfreemem)> owned(message, &PQfreemem);
    if (!options) {
        std::string why = message == nullptr ? "out of memory" : message;
        std::erase(why, '\n');
        return "admin.conninfo: " + why + ", expected libpq's \"keyword=value ...\"";
    }
    for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
        if (option->val == nullptr) {
            continue;
        }
        if (auto refused = refused_parameter(option->keyword)) {
            return refused;
        }
    }
    return std::nullopt;
}

problem set_backend_host(backend_config& target, std::string_view text) {
    if (text.empty() || text.find_first_of(" \t,") != std::string_view::npos) {
        return not_a(text, "valid", "one host name, address or /socket/directory");
    }
    target.address.host = std::string(text);
    return std::nullopt;
}

std::vector<std::string> show_backend_host(const backend_config& target) {
    return {quoted(target.address.host)};
}

problem set_backend_port(backend_config& target, std::string_view text) {
    struct port_value {
        std::uint32_t number = 0;
    } port;
    if (auto wrong = set_number<port_value, 1, 65535, &port_value::number>(port, text)) {
        return wrong;
    }
    target.address.port = static_cast<std::uint16_t>(port.number);
    return std::nullopt;
}

std::vector<std::string> show_backend_port(const backend_config& target) {
    return {std::to_string(target.address.port)};
}

}  // namespace pgsluice::control
