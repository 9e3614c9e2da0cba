// Lookups in a configuration, the start without a file, and what --check prints.
#include "control/config/config.hpp"

#include "control/config/keys.hpp"
#include "control/config/values.hpp"

#include <algorithm>
#include <fstream>
#include <sstream>

namespace pgsluice::control {
namespace {

failure wrong_argument(std::string_view option, std::string text) {
    return failure{"22023", std::string(option) + ": " + std::move(text), {}, {}};
}

result<backend_config> parse_backend_argument(std::string_view text) {
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos || !is_valid_name(text.substr(0, equals))) {
        return wrong_argument(
            "--backend", not_a(text, "valid", "NAME=HOST:PORT or NAME=/socket/dir:PORT")
        );
    }
    constexpr std::uint16_t postgresql_port = 5432;
    const auto address = parse_host_port(text.substr(equals + 1), postgresql_port);
    if (!address) {
        return wrong_argument("--backend", address.error().message);
    }
    return backend_config{std::string(text.substr(0, equals)), *address, {}, {}};
}

}  // namespace

const backend_config* service_config::find_backend(std::string_view backend) const {
    const auto found =
        std::find_if(backends.begin(), backends.end(), [&](const backend_config& each) {
            return each.name == backend;
        });
    return found == backends.end() ? nullptr : &*found;
}

const service_config* config::find_service(std::string_view service) const {
    const auto found =
        std::find_if(services.begin(), services.end(), [&](const service_config& each) {
            return each.name == service;
        });
    return found == services.end() ? nullptr : &*found;
}

config_outcome load_config(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    if (!file || (!(text << file.rdbuf()) && file.peek() != std::ifstream::traits_type::eof())) {
        config_outcome outcome;
        outcome.errors.push_back({1, 1, "the file cannot be read, expected a YAML configuration"});
        return outcome;
    }
    return parse_config(text.str());
}

std::string format_problem(std::string_view file, const config_problem& found) {
    return std::string(file) + ":" + std::to_string(found.line) + ":" +
           std::to_string(found.column) + ": " + found.text;
}

result<config> quick_config(const quick_start& arguments) {
    config value;
    value.control = {.socket = arguments.socket, .state_dir = arguments.state_dir};
    if (auto wrong = set_control_socket(value, arguments.socket)) {
        return wrong_argument("--socket", *wrong);
    }
    if (auto wrong = set_state_dir(value, arguments.state_dir)) {
        return wrong_argument("--state-dir", *wrong);
    }
    if (!arguments.workers.empty()) {
        if (auto wrong = set_workers(value, arguments.workers)) {
            return wrong_argument("--workers", *wrong);
        }
    }
    service_config service;
    service.name = "default";
    if (auto wrong = add_listen(service, arguments.listen)) {
        return wrong_argument("--listen", *wrong);
    }
    for (const std::string& text : arguments.backends) {
        auto backend = parse_backend_argument(text);
        if (!backend) {
            return backend.error();
        }
        if (service.find_backend(backend->name) != nullptr) {
            return wrong_argument("--backend", "\"" + backend->name + "\" is given twice");
        }
        service.backends.push_back(*backend);
    }
    if (service.backends.empty()) {
        return wrong_argument("--backend", "none is given, expected NAME=HOST:PORT");
    }
    service.route = service.backends.front().name;
    value.services.push_back(std::move(service));
    return value;
}

}  // namespace pgsluice::control
