#pragma once

#include "control/config/fields.hpp"

/// Setters and printers of the keys whose values follow rules of their own. Each setter returns
/// what is wrong and what was expected, or nothing.
namespace pgsluice::control {

problem set_workers(config& target, std::string_view text);
std::vector<std::string> show_workers(const config& target);

problem set_http(config& target, std::string_view text);
std::vector<std::string> show_http(const config& target);

problem set_stats_period(config& target, std::string_view text);

problem set_control_socket(config& target, std::string_view text);
problem set_state_dir(config& target, std::string_view text);

/// Appends one listen address.
problem add_listen(service_config& target, std::string_view text);
std::vector<std::string> show_listen(const service_config& target);
/// Whether the service has that address already.
bool listens_on(const service_config& service, const host_port& address);

problem set_listen_address(listen_config& target, std::string_view text);
std::vector<std::string> show_listen_address(const listen_config& target);
/// Appends one range of load balancers.
problem add_trusted(listen_config& target, std::string_view text);
std::vector<std::string> show_trusted(const listen_config& target);

problem set_auth(service_config& target, std::string_view text);
/// Reads the file, too, and forgets what is in it.
problem set_users_file(service_config& target, std::string_view text);
problem set_hba_file(service_config& target, std::string_view text);
problem set_ident_file(service_config& target, std::string_view text);
/// libpq's own parser judges the text; passwords and addresses are refused, they belong elsewhere.
problem set_conninfo(service_config& target, std::string_view text);

problem set_backend_host(backend_config& target, std::string_view text);
std::vector<std::string> show_backend_host(const backend_config& target);
problem set_backend_port(backend_config& target, std::string_view text);
std::vector<std::string> show_backend_port(const backend_config& target);

}  // namespace pgsluice::control
