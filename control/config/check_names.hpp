#pragma once

#include "control/config/check_level.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pgsluice::control {

/// Every check of a preflight, in the order in which they are made. What each does is in
/// control/preflight/table.cpp, docs/guardrails.md has a row for each.
enum class check_id : std::uint8_t {
    login,
    reach,
    versions,
    old_server,
    new_server,
    one_server,
    connections,
    disk,
    prewarm,
    read_only,
    read_only_overrides,
    privileges,
    configuration,
    prepared_transactions,
    long_transactions,
    other_sessions,
    logical_slots,
    running_ddl,
    encoding,
    collation,
    settings,
    statistics,
    same_cluster,
    standby,
    lag,
    subscription,
    slot,
    tables,
    publication,
    apply_errors,
    replica_identity,
    way_back,
    publications,
    schema_tables,
    columns,
    defaults,
    generated_columns,
    sequences,
    sequence_owners,
    sequence_values,
    indexes,
    valid_indexes,
    constraints,
    triggers,
    views,
    materialized_views,
    functions,
    types,
    type_numbers,
    extensions,
    roles,
    passwords,
    memberships,
    role_settings,
    owners,
    grants,
    row_security,
    large_objects,
    data,
    unlogged_tables,
};

/// How a check is called in the configuration (`checks.NAME`) and in reports, and how serious its
/// findings are unless the configuration says otherwise.
struct check_name {
    check_id id;
    std::string_view name;
    check_level level;
};

/// One row a check, in the order of check_id.
inline constexpr auto check_names = std::to_array<check_name>({
    {check_id::login, "login", check_level::error},
    {check_id::reach, "reach", check_level::error},
    {check_id::versions, "versions", check_level::warning},
    {check_id::old_server, "old-server", check_level::error},
    {check_id::new_server, "new-server", check_level::error},
    {check_id::one_server, "one-server", check_level::error},
    {check_id::connections, "connections", check_level::error},
    {check_id::disk, "disk", check_level::error},
    {check_id::prewarm, "prewarm", check_level::warning},
    {check_id::read_only, "read-only", check_level::error},
    {check_id::read_only_overrides, "read-only-overrides", check_level::warning},
    {check_id::privileges, "privileges", check_level::error},
    {check_id::configuration, "configuration", check_level::error},
    {check_id::prepared_transactions, "prepared-transactions", check_level::error},
    {check_id::long_transactions, "long-transactions", check_level::warning},
    {check_id::other_sessions, "other-sessions", check_level::warning},
    {check_id::logical_slots, "logical-slots", check_level::warning},
    {check_id::running_ddl, "running-ddl", check_level::warning},
    {check_id::encoding, "encoding", check_level::error},
    {check_id::collation, "collation", check_level::warning},
    {check_id::settings, "settings", check_level::warning},
    {check_id::statistics, "statistics", check_level::warning},
    {check_id::same_cluster, "same-cluster", check_level::error},
    {check_id::standby, "standby", check_level::error},
    {check_id::lag, "lag", check_level::warning},
    {check_id::subscription, "subscription", check_level::error},
    {check_id::slot, "slot", check_level::error},
    {check_id::tables, "tables", check_level::error},
    {check_id::publication, "publication", check_level::warning},
    {check_id::apply_errors, "apply-errors", check_level::warning},
    {check_id::replica_identity, "replica-identity", check_level::error},
    {check_id::way_back, "way-back", check_level::error},
    {check_id::publications, "publications", check_level::warning},
    {check_id::schema_tables, "schema-tables", check_level::error},
    {check_id::columns, "columns", check_level::error},
    {check_id::defaults, "defaults", check_level::error},
    {check_id::generated_columns, "generated-columns", check_level::error},
    {check_id::sequences, "sequences", check_level::error},
    {check_id::sequence_owners, "sequence-owners", check_level::warning},
    {check_id::sequence_values, "sequence-values", check_level::warning},
    {check_id::indexes, "indexes", check_level::error},
    {check_id::valid_indexes, "valid-indexes", check_level::error},
    {check_id::constraints, "constraints", check_level::error},
    {check_id::triggers, "triggers", check_level::error},
    {check_id::views, "views", check_level::error},
    {check_id::materialized_views, "materialized-views", check_level::error},
    {check_id::functions, "functions", check_level::error},
    {check_id::types, "types", check_level::error},
    {check_id::type_numbers, "type-numbers", check_level::warning},
    {check_id::extensions, "extensions", check_level::error},
    {check_id::roles, "roles", check_level::error},
    {check_id::passwords, "passwords", check_level::error},
    {check_id::memberships, "memberships", check_level::error},
    {check_id::role_settings, "role-settings", check_level::warning},
    {check_id::owners, "owners", check_level::warning},
    {check_id::grants, "grants", check_level::error},
    {check_id::row_security, "row-security", check_level::error},
    {check_id::large_objects, "large-objects", check_level::error},
    {check_id::data, "data", check_level::error},
    {check_id::unlogged_tables, "unlogged-tables", check_level::warning},
});

inline constexpr std::size_t checks_count = check_names.size();

constexpr const check_name& name_of(check_id id) {
    return check_names[static_cast<std::size_t>(id)];
}

}  // namespace pgsluice::control
