// THE table of guardrails: what a preflight checks, in order, and how serious a finding is.
#include "control/preflight/login_reach.hpp"
#include "control/preflight/parity.hpp"

#include <algorithm>

namespace pgsluice::control {

namespace {

constexpr check_level warning = check_level::warning;
constexpr check_level error = check_level::error;

constexpr check table[] = {
    {"login", error, scope_all, "", check_login},
    {"reach", error, scope_all, "", check_reach},
    {"versions", warning, scope_all, "", check_versions},
    {"old-server", error, scope_all, "it is a primary", check_old_server},
    {"new-server", error, scope_all, "it is what replication.kind says", check_new_server},
    {"one-server", error, scope_all, "they are two", check_one_server},
    {"connections", error, scope_all, "", check_connections},
    {"disk", error, scope_all, "", check_disk},
    {"prewarm", warning, scope_all, "", check_prewarm},
    {"read-only", error, scope_all, "neither is read-only by default", check_read_only},
    {"read-only-overrides", warning, scope_all, "the fence binds everybody", check_overrides},
    {"privileges", error, scope_all, "the admin login may raise the fence", check_privileges},
    {"configuration", error, scope_all, "the old server can be reloaded", check_configuration},
    {"prepared-transactions", error, scope_all, "there are none", check_prepared},
    {"long-transactions", warning, scope_all, "none is older than 5 s", check_long_transactions},
    {"other-sessions", warning, scope_all, "all come through the proxy", check_other_sessions},
    {"logical-slots", warning, scope_all, "none would be lost", check_logical_slots},
    {"running-ddl", warning, scope_all, "the schema stands still", check_running_ddl},
    {"encoding", error, scope_copies, "both are the same", check_encoding},
    {"collation", warning, scope_all, "both sort alike", check_collation},
    {"settings", warning, scope_all, "those that matter are alike", check_settings},
    {"statistics", warning, scope_copies, "every table has some", check_statistics},
    {"same-cluster",
     error,
     scope_physical,
     "same cluster: the schema is the same by identity",
     check_same_cluster},
    {"standby", error, scope_physical, "", check_standby},
    {"lag", warning, scope_replicated, "", check_lag},
    {"subscription", error, scope_logical, "", check_subscription},
    {"slot", error, scope_logical, "it is in use", check_slot},
    {"tables", error, scope_logical, "", check_tables},
    {"publication", warning, scope_logical, "every change is published", check_publication},
    {"apply-errors", warning, scope_logical, "none has happened", check_apply_errors},
    {"replica-identity", error, scope_logical, "each table has one", check_replica_identity},
    {"way-back", error, scope_all, "`rollback` will lose nothing", check_way_back},
    {"publications", warning, scope_copies, "none would be lost", check_publications},
    {"schema-tables", error, scope_copies, "", compare<table_catalog>},
    {"columns", error, scope_copies, "", compare<column_catalog>},
    {"defaults", error, scope_copies, "", compare<default_catalog>},
    {"generated-columns", error, scope_copies, "", compare<generated_catalog>},
    {"sequences", error, scope_copies, "", compare<sequence_catalog>},
    {"sequence-owners", warning, scope_copies, "", compare<sequence_owner_catalog>},
    {"sequence-values", warning, scope_copies, "", check_sequence_values},
    {"indexes", error, scope_copies, "", compare<index_catalog>},
    {"valid-indexes", error, scope_copies, "there is no invalid one", check_valid_indexes},
    {"constraints", error, scope_copies, "", compare<constraint_catalog>},
    {"triggers", error, scope_copies, "", compare<trigger_catalog>},
    {"views", error, scope_copies, "", compare<view_catalog>},
    {"materialized-views", error, scope_copies, "", compare<materialized_catalog>},
    {"functions", error, scope_copies, "", compare<function_catalog>},
    {"types", error, scope_copies, "", compare<type_catalog>},
    {"type-numbers", warning, scope_copies, "types have the same OIDs", check_type_numbers},
    {"extensions", error, scope_copies, "", compare<extension_catalog>},
    {"roles", error, scope_copies, "", compare<role_catalog>},
    {"passwords", error, scope_copies, "who has one there has one here", check_passwords},
    {"memberships", error, scope_copies, "", compare<membership_catalog>},
    {"role-settings", warning, scope_copies, "", compare<role_setting_catalog>},
    {"owners", warning, scope_copies, "", compare<owner_catalog>},
    {"grants", error, scope_copies, "", compare<grant_catalog>},
    {"row-security", error, scope_copies, "", compare<row_security_catalog>},
    {"large-objects", error, scope_copies, "none stays behind", check_large_objects},
    {"data", error, scope_logical, "", check_data},
    {"unlogged-tables", warning, scope_all, "none stays behind", check_unlogged_tables},
};

}  // namespace

std::span<const check, checks_count> checks() {
    return table;
}

const check* find_check(std::string_view name) {
    const auto found = std::find_if(std::begin(table), std::end(table), [&](const check& each) {
        return each.name == name;
    });
    return found == std::end(table) ? nullptr : found;
}

}  // namespace pgsluice::control
