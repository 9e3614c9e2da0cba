// THE table of guardrails: what a preflight checks, in order. Names and levels are in
// control/config/check_names.hpp, where the configuration sees them.
#include "control/preflight/login_reach.hpp"
#include "control/preflight/parity.hpp"

#include <algorithm>

namespace pgsluice::control {

namespace {

using id = check_id;

constexpr check table[] = {
    {id::login, scope_all, "", check_login},
    {id::reach, scope_all, "", check_reach},
    {id::versions, scope_all, "", check_versions},
    {id::old_server, scope_all, "it is a primary", check_old_server},
    {id::new_server, scope_all, "it is what replication.kind says", check_new_server},
    {id::one_server, scope_all, "they are two", check_one_server},
    {id::connections, scope_all, "", check_connections},
    {id::disk, scope_all, "", check_disk},
    {id::prewarm, scope_all, "", check_prewarm},
    {id::read_only, scope_all, "neither is read-only by default", check_read_only},
    {id::read_only_overrides, scope_all, "the fence binds everybody", check_overrides},
    {id::privileges, scope_all, "the admin login may raise the fence", check_privileges},
    {id::configuration, scope_all, "the old server can be reloaded", check_configuration},
    {id::prepared_transactions, scope_all, "there are none", check_prepared},
    {id::long_transactions, scope_all, "none is older than 5 s", check_long_transactions},
    {id::other_sessions, scope_all, "all come through the proxy", check_other_sessions},
    {id::logical_slots, scope_all, "none would be lost", check_logical_slots},
    {id::running_ddl, scope_all, "the schema stands still", check_running_ddl},
    {id::encoding, scope_copies, "both are the same", check_encoding},
    {id::collation, scope_all, "both sort alike", check_collation},
    {id::settings, scope_all, "those that matter are alike", check_settings},
    {id::statistics, scope_copies, "every table has some", check_statistics},
    {id::same_cluster,
     scope_physical,
     "same cluster: the schema is the same by identity",
     check_same_cluster},
    {id::standby, scope_physical, "", check_standby},
    {id::lag, scope_replicated, "", check_lag},
    {id::subscription, scope_logical, "", check_subscription},
    {id::slot, scope_logical, "it is in use", check_slot},
    {id::tables, scope_logical, "", check_tables},
    {id::publication, scope_logical, "every change is published", check_publication},
    {id::apply_errors, scope_logical, "none has happened", check_apply_errors},
    {id::replica_identity, scope_logical, "each table has one", check_replica_identity},
    {id::way_back, scope_all, "`rollback` will lose nothing", check_way_back},
    {id::publications, scope_copies, "none would be lost", check_publications},
    {id::schema_tables, scope_copies, "", compare<table_catalog>},
    {id::columns, scope_copies, "", compare<column_catalog>},
    {id::defaults, scope_copies, "", compare<default_catalog>},
    {id::generated_columns, scope_copies, "", compare<generated_catalog>},
    {id::sequences, scope_copies, "", compare<sequence_catalog>},
    {id::sequence_owners, scope_copies, "", compare<sequence_owner_catalog>},
    {id::sequence_values, scope_copies, "", check_sequence_values},
    {id::indexes, scope_copies, "", compare<index_catalog>},
    {id::valid_indexes, scope_copies, "there is no invalid one", check_valid_indexes},
    {id::constraints, scope_copies, "", compare<constraint_catalog>},
    {id::triggers, scope_copies, "", compare<trigger_catalog>},
    {id::views, scope_copies, "", compare<view_catalog>},
    {id::materialized_views, scope_copies, "", compare<materialized_catalog>},
    {id::functions, scope_copies, "", compare<function_catalog>},
    {id::types, scope_copies, "", compare<type_catalog>},
    {id::type_numbers, scope_copies, "types have the same OIDs", check_type_numbers},
    {id::extensions, scope_copies, "", compare<extension_catalog>},
    {id::roles, scope_copies, "", compare<role_catalog>},
    {id::passwords, scope_copies, "who has one there has one here", check_passwords},
    {id::memberships, scope_copies, "", compare<membership_catalog>},
    {id::role_settings, scope_copies, "", compare<role_setting_catalog>},
    {id::owners, scope_copies, "", compare<owner_catalog>},
    {id::grants, scope_copies, "", compare<grant_catalog>},
    {id::row_security, scope_copies, "", compare<row_security_catalog>},
    {id::large_objects, scope_copies, "none stays behind", check_large_objects},
    {id::data, scope_logical, "", check_data},
    {id::unlogged_tables, scope_all, "none stays behind", check_unlogged_tables},
};

constexpr bool is_in_order() {
    std::size_t at = 0;
    for (const check& each : table) {
        if (static_cast<std::size_t>(each.id) != at || check_names[at].id != each.id) {
            return false;
        }
        ++at;
    }
    return at == checks_count;
}
static_assert(is_in_order(), "one row a check_id, here and in check_names, in its order");

}  // namespace

std::span<const check> checks() {
    return table;
}

const check* find_check(std::string_view name) {
    const auto found =
        std::ranges::find(table, name, [](const check& each) { return each.name(); });
    return found == std::end(table) ? nullptr : found;
}

}  // namespace pgsluice::control
