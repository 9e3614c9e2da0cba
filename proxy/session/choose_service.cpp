// Which of the services that are reached at one address a client is meant for: the one that names
// its database, or else the one for all others. Whoever wants the console gets that of the first
// service that knows its user.

#include "proxy/model/operator_console.hpp"
#include "proxy/session/host.hpp"
#include "proxy/session/refusal.hpp"
#include "proxy/session/session.hpp"

#include <algorithm>

namespace pgsluice::proxy {

namespace {

bool names(const service_settings& settings, std::string_view database) {
    const auto& all = settings.databases;
    return std::find(all.begin(), all.end(), database) != all.end();
}

bool takes_all(const service_settings& settings) {
    return settings.databases.empty() || names(settings, "*");
}

bool welcomes(const service_settings& settings, const operator_console::asker& who) {
    return settings.console && settings.console->asked->welcome(who).has_value();
}

}  // namespace

/// Null when there is none.
session_host* session::service_meant() const {
    const std::string_view database = startup_->database();
    std::vector<session_host*> here;
    for (const std::size_t id : entrance_->services) {
        here.push_back(&host_.sibling(id));
    }
    const auto first = [&here](const auto& suits) {
        const auto found = std::find_if(here.begin(), here.end(), [&](const session_host* each) {
            return suits(each->settings());
        });
        return found == here.end() ? nullptr : *found;
    };
    const auto has_console = [](const service_settings& each) {
        return each.console != nullptr;
    };
    if (is_console_name(database) && !startup_->wants_replication() && first(has_console)) {
        const operator_console::asker who{std::string(startup_->user()), address_};
        session_host* const known =
            first([&](const service_settings& each) { return welcomes(each, who); });
        return known != nullptr ? known : first(has_console);
    }
    session_host* const named =
        first([&](const service_settings& each) { return names(each, database); });
    return named != nullptr ? named : first(takes_all);
}

/// True when that is the service whose session this is.
task<bool> session::find_service() {
    session_host* const meant = service_meant();
    if (meant == &host_) {
        co_return true;
    }
    if (meant != nullptr) {
        meant->take_over(*this);
        if (own_client_) {
            client_.close();  // no room there
        }
        co_return false;
    }
    shard_counters::bump(host_.counters().clients_refused);
    failure why = refusal::no_such_database(startup_->database());
    co_await tell_and_close(std::move(why));
    co_return false;
}

}  // namespace pgsluice::proxy
