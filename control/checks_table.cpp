// THE table of guardrails: what a preflight checks, in order, and how serious a finding is.
#include "control/checks.hpp"

#include <algorithm>

namespace pgsluice::control {

namespace {

constexpr check_level warning = check_level::warning;
constexpr check_level error = check_level::error;

constexpr check table[] = {
    {"login", error, scope_all, "", check_login},
    {"versions", warning, scope_all, "", check_versions},
    {"old-server", error, scope_all, "it is a primary", check_old_server},
    {"new-server", error, scope_all, "it is what replication.kind says", check_new_server},
    {"one-server", error, scope_all, "they are two", check_one_server},
    {"connections", error, scope_all, "", check_connections},
    {"read-only", error, scope_all, "neither is read-only by default", check_read_only},
    {"read-only-overrides", warning, scope_all, "the fence binds everybody", check_overrides},
    {"privileges", error, scope_all, "the admin login may raise the fence", check_privileges},
    {"configuration", error, scope_all, "the old server can be reloaded", check_configuration},
    {"prepared-transactions", error, scope_all, "there are none", check_prepared},
    {"same-cluster",
     error,
     scope_physical,
     "same cluster: the schema is the same by identity",
     check_same_cluster},
    {"standby", error, scope_physical, "", check_standby},
    {"subscription", error, scope_logical, "", check_subscription},
    {"slot", error, scope_logical, "it is in use", check_slot},
    {"tables", error, scope_logical, "", check_tables},
    {"publication", warning, scope_logical, "every change is published", check_publication},
    {"sequences", error, scope_copies, "all are on the new server", check_sequences},
    {"type-numbers", warning, scope_copies, "types have the same OIDs", check_type_numbers},
};

}  // namespace

std::span<const check> checks() {
    return table;
}

const check* find_check(std::string_view name) {
    const auto found = std::find_if(std::begin(table), std::end(table), [&](const check& each) {
        return each.name == name;
    });
    return found == std::end(table) ? nullptr : found;
}

}  // namespace pgsluice::control
