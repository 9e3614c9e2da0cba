// The keys `console.NAME`, and what has to stand beside them.
#include "control/config/console_rules.hpp"
#include "control/config/rows.hpp"

#include <algorithm>

namespace pgsluice::control {

namespace {

using service = service_config;
using console = console_config;

template <auto Users>
problem add_user(service& target, std::string_view text) {
    if (text.empty() || text.find('\0') != std::string_view::npos) {
        return "a user's name is empty or holds a zero byte";
    }
    auto& users = target.console.*Users;
    if (std::find(users.begin(), users.end(), text) != users.end()) {
        return "\"" + std::string(text) + "\" is listed twice, expected each user once";
    }
    users.emplace_back(text);
    return std::nullopt;
}

template <auto Texts>
std::vector<std::string> show_texts(const service& target) {
    std::vector<std::string> shown;
    for (const std::string& each : target.console.*Texts) {
        shown.push_back(quoted(each));
    }
    return shown;
}

problem add_from(service& target, std::string_view text) {
    const std::vector<std::string> range{std::string(text)};
    if (const auto set = proxy::address_set::parse(range); !set) {
        return set.error().message;
    }
    if (text == "none" || text.find('=') != std::string_view::npos) {
        return not_a(text, "valid", "ranges without a share, local or all");
    }
    target.console.from.emplace_back(text);
    const auto all = proxy::address_set::parse(target.console.from);
    return all ? std::nullopt : problem(all.error().message);
}

template <auto Users>
config_key<service> users_key(std::string_view name, std::string_view doc) {
    return {
        .name = name,
        .type = "list of users",
        .is_reloadable = reloadable,
        .is_list = true,
        .doc = doc,
        .set = add_user<Users>,
        .show = show_texts<Users>,
        .copy = copy_field<service, &service::console, Users>};
}

/// The key of `users` in the configuration; empty where nobody is listed.
std::string key_of(const console& given) {
    return !given.admins.empty()      ? "console.admin"
           : !given.operators.empty() ? "console.operator"
           : !given.viewers.empty()   ? "console.viewer"
                                      : "";
}

/// A range of this machine's own addresses, or its unix sockets. What is wider is no error of the
/// sets: whoever is trusted is looked at once more when he comes.
bool is_local_range(const std::string& range) {
    return range == "local" || range == "::1" || range == "::1/128" || range.starts_with("127.");
}

}  // namespace

std::vector<config_key<service_config>> console_keys() {
    return {
        users_key<&console::admins>(
            "console.admin",
            "Users who may do everything in the databases `pgsluice` and `pgbouncer` of this "
            "service's listeners, also RELOAD and SHUTDOWN. Where nobody is listed here or below "
            "these are ordinary names. See docs/console.md."
        ),
        users_key<&console::operators>(
            "console.operator", "Users who may pause, move, admit and end sessions there, and look."
        ),
        users_key<&console::viewers>("console.viewer", "Users who may only look: SHOW."),
        {.name = "console.from",
         .type = "list of address ranges",
         .initial = "[127.0.0.0/8, \"::1\", local]",
         .is_reloadable = reloadable,
         .is_list = true,
         .doc = "From where the console can be reached: ranges as `10.0.0.0/8`, `local` (unix "
                "sockets), `all`.",
         .set = add_from,
         .show = show_texts<&console::from>,
         .copy = copy_field<service, &service::console, &console::from>},
    };
}

proxy::address_set console_from(const console_config& console) {
    static const std::vector<std::string> this_machine{"127.0.0.0/8", "::1", "local"};
    const auto set = proxy::address_set::parse(console.from.empty() ? this_machine : console.from);
    PGSLUICE_ASSERT(set.has_value());
    return *set;
}

std::vector<console_problem> check_console(const service_config& service) {
    const console_config& given = service.console;
    std::vector<console_problem> wrong;
    const std::string first = key_of(given);
    if (first.empty()) {
        if (!given.from.empty()) {
            wrong.push_back(
                {"console.from",
                 "console.from has no effect, expected \"admin\", \"operator\" or "
                 "\"viewer\" to list users"}
            );
        }
        return wrong;
    }
    const auto also = [&](const std::vector<std::string>& users,
                          const std::vector<std::string>& others,
                          const std::string& key) {
        for (const std::string& each : others) {
            if (std::find(users.begin(), users.end(), each) != users.end()) {
                wrong.push_back(
                    {key, key + ": \"" + each + "\" has another role, expected one for each user"}
                );
            }
        }
    };
    also(given.admins, given.operators, "console.operator");
    also(given.admins, given.viewers, "console.viewer");
    also(given.operators, given.viewers, "console.viewer");
    const auth_config& auth = service.auth;
    if (auth.hba_file.empty() && auth.method == auth_method::passthrough) {
        wrong.push_back(
            {first,
             first + " needs clients that pgsluice asks itself, expected auth.method "
                     "scram-sha-256, md5 or trust, or auth.hba_file: passthrough leaves the "
                     "question to a server"}
        );
    }
    if (auth.hba_file.empty() && auth.method == auth_method::trust) {
        for (const std::string& range : given.from) {
            if (!is_local_range(range)) {
                wrong.push_back(
                    {"console.from",
                     "console.from: " + not_a(
                                            range,
                                            "on this machine",
                                            "127.0.0.0/8, ::1 or local: auth.method is trust"
                                        )}
                );
            }
        }
    }
    return wrong;
}

}  // namespace pgsluice::control
