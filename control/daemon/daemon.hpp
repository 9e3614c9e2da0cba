#pragma once

#include "control/commands/outcome.hpp"
#include "control/config/config.hpp"
#include "control/config/resolve.hpp"
#include "control/console/command_threads.hpp"
#include "control/console/console.hpp"
#include "control/daemon/dns_refresh.hpp"
#include "control/journal/journal.hpp"
#include "control/metrics/traffic_averages.hpp"
#include "control/postgres/secret_lookup.hpp"
#include "control/service/service.hpp"
#include "control/socket/server.hpp"
#include "protocol/auth/secret.hpp"
#include "proxy/engine/engine.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace pgsluice::control {

/// A running pgsluice: journal, data plane, services and control socket, in the order in which they
/// depend on each other.
class daemon {
public:
    struct start_arguments {
        config settings;
        std::string file;  ///< where a reload reads again; empty = started without a file
        server_pair_maker servers;
        /// Asked for by the command `shutdown`; must make the owner destroy the daemon soon.
        std::function<void()> ask_to_stop;
    };

    /// Opens the journal, decides each service's side, listens for commands, starts the data plane
    /// and then answers commands. What a crash interrupted is finished in the background, its gate
    /// closed meanwhile.
    static result<std::unique_ptr<daemon>> start(start_arguments arguments);

    /// Interrupts operations, ends every session with 57P01 and joins every thread.
    ~daemon();
    daemon(const daemon&) = delete;
    daemon& operator=(const daemon&) = delete;

    /// As the command `shutdown --drain`, in the background: asks the owner to stop at its end.
    /// Going on to destroy the daemon cuts it short.
    void wind_down();

    /// Reads the file again and applies what needs no restart. Wrong files change nothing.
    outcome reload();

private:
    explicit daemon(start_arguments arguments) : arguments_(std::move(arguments)) {}

    result<void> open_journal();
    result<void> start_services();
    result<service_state> state_of(const service_config& service);
    result<proxy::engine::service_start> start_of(const service_config& service);
    outcome run(const request& given, const progress_sink& tell);
    outcome run_on_service(const request& given, const progress_sink& tell);
    outcome status(const request& given);
    outcome events(const request& given) const;
    outcome shut_down(bool drain, const progress_sink& tell);
    std::shared_ptr<proxy::secret_source> secrets_of(const service_config& service, std::size_t i);
    pg_login secret_login(std::size_t i);
    service_askers askers_of(const service_config& service, std::size_t i);
    std::shared_ptr<proxy::operator_console>
    console_of(const service_config& service, std::size_t i);
    console_sources sources_of(std::size_t i);
    std::vector<service_console::neighbour> neighbours_of(std::size_t i);
    std::vector<known_name> names_of(std::size_t i);
    void watch_names();
    void watch_traffic();
    bool apply_addresses(const lookup_results& found);
    result<service*> find_service(const std::string& name);

    start_arguments arguments_;
    std::mutex reload_mutex_;  ///< of arguments_.settings
    /// One a service that has ever had `auth.query`. Sessions hold on to them, too.
    std::vector<std::shared_ptr<secret_lookup>> secrets_;
    /// One a service that has ever had a console; likewise.
    std::vector<std::shared_ptr<service_console>> consoles_;
    command_threads console_threads_;
    std::unique_ptr<journal> log_;
    protocol::secret_key salt_key_;  ///< see salt_key_in()
    service_states states_;
    proxy::engine engine_;
    std::vector<std::unique_ptr<service>> services_;
    /// What the workers of a service go by, and which names the last look could not resolve.
    struct in_force {
        std::shared_ptr<const proxy::service_settings> settings;
        std::vector<std::string> unresolved{};
    };
    std::vector<in_force> in_force_;  ///< one a service; guarded by reload_mutex_
    std::vector<std::thread> recoveries_;
    std::thread winding_down_;
    std::atomic<bool> is_ending_ = false;
    std::unique_ptr<control_socket> socket_;
    std::unique_ptr<name_refresh> names_;
    std::unique_ptr<traffic_sampler> traffic_;
};

}  // namespace pgsluice::control
