// The key `databases`, and what services need to share an address.
#include "control/config/database_rules.hpp"

#include "control/config/rows.hpp"

#include <algorithm>

namespace pgsluice::control {

namespace {

using service = service_config;

/// The longest name that a server keeps (NAMEDATALEN).
constexpr std::size_t name_bytes_max = 63;

problem add_database(service& target, std::string_view text) {
    if (text.empty() || text.size() > name_bytes_max || text.find('\0') != text.npos) {
        return not_a(text, "the name of a database", "1 to 63 bytes, or \"*\" for all others");
    }
    auto& all = target.databases;
    if (std::find(all.begin(), all.end(), text) != all.end()) {
        return "\"" + std::string(text) + "\" is listed twice, expected each name once";
    }
    all.emplace_back(text);
    return std::nullopt;
}

std::vector<std::string> show_databases(const service& target) {
    std::vector<std::string> shown;
    for (const std::string& each : target.databases) {
        shown.push_back(quoted(each));
    }
    return shown;
}

const listen_config* listener_at(const service& given, const host_port& address) {
    const auto found =
        std::find_if(given.listen.begin(), given.listen.end(), [&](const listen_config& each) {
            return each.address == address;
        });
    return found == given.listen.end() ? nullptr : &*found;
}

/// The first address that both have; null where there is none.
const listen_config* shared_listener(const service& one, const service& other) {
    for (const listen_config& each : one.listen) {
        if (listener_at(other, each.address) != nullptr) {
            return &each;
        }
    }
    return nullptr;
}

void check_pair(
    const service& before, const service& later, std::vector<sharing_problem>& problems
) {
    const listen_config* const at = shared_listener(before, later);
    if (at == nullptr) {
        return;
    }
    const std::string taken = "services." + later.name + ".listen: " + at->address.text() +
                              " is taken by service \"" + before.name + "\"";
    if (before.databases.empty() || later.databases.empty()) {
        problems.push_back(
            {later.name,
             "listen",
             taken +
                 ", expected an address of its own, or \"databases\" in both to tell them apart"}
        );
        return;
    }
    for (const listen_config& each : before.listen) {
        const listen_config* const same = listener_at(later, each.address);
        if (same != nullptr && *same != each) {
            problems.push_back({later.name, "listen", taken + " with another proxy_protocol"});
        }
    }
    if (before.tls != later.tls) {
        problems.push_back(
            {later.name,
             "listen",
             taken + ", expected the same \"tls\" in both: it begins before a client has said what "
                     "it wants"}
        );
    }
    for (const std::string& name : later.databases) {
        if (std::find(before.databases.begin(), before.databases.end(), name) !=
            before.databases.end()) {
            problems.push_back(
                {later.name,
                 "databases",
                 "services." + later.name + ".databases: \"" + name + "\" is of service \"" +
                     before.name + "\" at " + at->address.text() +
                     ", expected each name in one service"}
            );
        }
    }
}

}  // namespace

config_key<service_config> databases_key() {
    return {
        .name = "databases",
        .type = "list of names",
        .is_list = true,
        .doc = "The databases that clients of this service ask for; `*` is every one that no other "
               "service at the address lists. Without it the service takes all. Others are refused "
               "with 3D000. Obligatory where services share an address; see docs/services.md.",
        .set = add_database,
        .show = show_databases};
}

std::vector<sharing_problem> check_sharing(const std::vector<service_config>& services) {
    std::vector<sharing_problem> problems;
    for (std::size_t later = 1; later < services.size(); ++later) {
        for (std::size_t before = 0; before < later; ++before) {
            check_pair(services[before], services[later], problems);
        }
    }
    return problems;
}

std::vector<std::size_t>
services_beside(const std::vector<service_config>& services, std::size_t service) {
    std::vector<std::size_t> found;
    for (std::size_t i = 0; i < services.size(); ++i) {
        if (i == service || shared_listener(services[service], services[i]) != nullptr) {
            found.push_back(i);
        }
    }
    return found;
}

}  // namespace pgsluice::control
