#pragma once

#include "control/commands/outcome.hpp"
#include "control/commands/request.hpp"
#include "control/config/config.hpp"
#include "control/console/command_threads.hpp"
#include "control/console/show.hpp"
#include "control/console/verbs.hpp"
#include "proxy/model/operator_console.hpp"

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::control {

/// The answer to a command that has come to an end: its tag, or an error with the SQLSTATE of how
/// it ended, with those who were in the way in its DETAIL.
protocol::console_answer console_answer_of(const console_plan& plan, const outcome& ended);

/// A service's console: statements become operator commands, or tables to be shown, for those whose
/// role is enough.
class service_console final : public proxy::operator_console {
public:
    /// Another service that is reached at this one's addresses.
    struct neighbour {
        named_service service;
        std::function<console_config()> who;
        console_sources sources;
    };

    /// What it needs of the daemon; all of it outlives stop() of the threads.
    struct surroundings {
        named_service service;
        command_threads& threads;
        std::function<outcome(const request&, const progress_sink&)> run;
        console_sources sources;
        std::vector<neighbour> beside{};
    };

    service_console(surroundings around, console_config who);

    /// Other users, also for sessions that are open.
    void apply(console_config who);

    result<void> welcome(const asker& who) override;
    result<protocol::console_columns> describe(std::string_view statement) override;
    void run(const asker& who, const std::string& statement, listener to) override;
    std::string version() const override;

    role role_of(std::string_view user) const;

private:
    bool has_console(const std::string& service) const;
    role role_in(const std::string& service, std::string_view user) const;
    std::optional<failure> refusal(const console_plan& plan, const asker& who) const;
    protocol::console_answer give(
        const console_plan& plan, const request& given, const asker& who, const progress_sink& tell
    ) const;
    std::vector<const console_sources*>
    shown(const console_plan& plan, const show_table& table, const asker& who) const;
    using teller = std::function<void(failure)>;
    protocol::console_answer
    answer(const asker& who, const std::string& statement, const teller& tell) const;
    protocol::console_answer
    execute(const console_plan& plan, const asker& who, const teller& tell) const;

    surroundings around_;
    std::vector<named_service> services_;  ///< its own first
    mutable std::mutex mutex_;
    console_config who_;
};

}  // namespace pgsluice::control
