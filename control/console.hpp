#pragma once

#include "control/command_threads.hpp"
#include "control/commands.hpp"
#include "control/config.hpp"
#include "control/console_show.hpp"
#include "control/console_verbs.hpp"
#include "control/outcome.hpp"
#include "proxy/operator_console.hpp"

#include <functional>
#include <mutex>
#include <string>
#include <string_view>

namespace pgsluice::control {

/// The answer to a command that has come to an end: its tag, or an error with the SQLSTATE of how
/// it ended, with those who were in the way in its DETAIL.
protocol::console_answer console_answer_of(const console_plan& plan, const outcome& ended);

/// A service's console: statements become operator commands, or tables to be shown, for those whose
/// role is enough.
class service_console final : public proxy::operator_console {
public:
    /// What it needs of the daemon; all of it outlives stop() of the threads.
    struct surroundings {
        std::string service;
        command_threads& threads;
        std::function<outcome(const request&, const progress_sink&)> run;
        console_sources sources;
    };

    service_console(surroundings around, console_config who)
        : around_(std::move(around)), who_(std::move(who)) {}

    /// Other users, also for sessions that are open.
    void apply(console_config who);

    result<void> welcome(const asker& who) override;
    result<protocol::console_columns> describe(std::string_view statement) override;
    void run(const asker& who, const std::string& statement, listener to) override;
    std::string version() const override;

    role role_of(std::string_view user) const;

private:
    using teller = std::function<void(failure)>;
    protocol::console_answer
    answer(const asker& who, const std::string& statement, const teller& tell) const;
    protocol::console_answer
    execute(const console_plan& plan, const asker& who, const teller& tell) const;

    surroundings around_;
    mutable std::mutex mutex_;
    console_config who_;
};

}  // namespace pgsluice::control
