#pragma once

#include "control/config/check_names.hpp"
#include "control/config/config.hpp"
#include "control/postgres/pg_client.hpp"
#include "control/preflight/expectations.hpp"
#include "control/preflight/findings.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::control {

/// What one server says about itself.
struct server_facts {
    std::string name;
    bool in_recovery = false;
    int version = 0;  ///< as server_version_num
    std::string version_text;
    std::string system_identifier;
    std::string started_at;
    std::int64_t connections_max = 0;  ///< for roles without privileges
    std::int64_t connections_used = 0;
    bool read_only_by_default = false;
    std::int64_t prepared_transactions = 0;
    std::string missing_privileges;   ///< for the fence; empty when none is missing
    std::string configuration_error;  ///< of postgresql.conf, which a reload would stumble over
};
step_result<server_facts> read_facts(pg_client& server, limits until);

/// Whether both names lead to one running server.
bool is_same_server(const server_facts& one, const server_facts& other);

/// What a cutover wants to know of the two; both clients are logged in to the admin database.
struct checked_pair {
    pg_client& from_client;
    pg_client& to_client;
    const server_facts& from;
    const server_facts& to;
    replication_kind replication;
    const std::string& subscription;
    const preflight_expectations& expected;
    const pg_login& to_login;  ///< of the control plane to the new server
};

/// The kinds of replication that a check is made for, as a sum.
enum check_scope : std::uint8_t {
    scope_none = 1,
    scope_physical = 2,
    scope_logical = 4,
    scope_replicated = scope_physical | scope_logical,
    scope_copies = scope_none | scope_logical,  ///< the catalogs are not the same ones
    scope_all = scope_none | scope_physical | scope_logical,
};

/// One guardrail. docs/guardrails.md has a row for each.
struct check {
    check_id id;
    check_scope scope;
    std::string_view sound;  ///< what is said when it finds nothing; empty = it says so itself
    /// Asks both servers and tells what it finds; fails only when it could not ask.
    step_result<void> (*run)(const checked_pair& pair, verdicts& found, const limits& until);

    std::string_view name() const { return name_of(id).name; }
    /// Of its findings, unless the configuration says otherwise.
    check_level level() const { return name_of(id).level; }
};

/// Every check that a preflight makes, in order.
std::span<const check> checks();

/// Null when there is none of that name.
const check* find_check(std::string_view name);

// The functions of the table. checks.cpp:
step_result<void> check_login(const checked_pair&, verdicts&, const limits&);
step_result<void> check_versions(const checked_pair&, verdicts&, const limits&);
step_result<void> check_old_server(const checked_pair&, verdicts&, const limits&);
step_result<void> check_new_server(const checked_pair&, verdicts&, const limits&);
step_result<void> check_one_server(const checked_pair&, verdicts&, const limits&);
step_result<void> check_connections(const checked_pair&, verdicts&, const limits&);
step_result<void> check_read_only(const checked_pair&, verdicts&, const limits&);
step_result<void> check_prepared(const checked_pair&, verdicts&, const limits&);
step_result<void> check_privileges(const checked_pair&, verdicts&, const limits&);
step_result<void> check_configuration(const checked_pair&, verdicts&, const limits&);

// checks_room.cpp:
step_result<void> check_disk(const checked_pair&, verdicts&, const limits&);
step_result<void> check_prewarm(const checked_pair&, verdicts&, const limits&);

// checks_way_back.cpp:
step_result<void> check_way_back(const checked_pair&, verdicts&, const limits&);

// checks_catalogs.cpp:
step_result<void> check_overrides(const checked_pair&, verdicts&, const limits&);
step_result<void> check_type_numbers(const checked_pair&, verdicts&, const limits&);
step_result<void> check_valid_indexes(const checked_pair&, verdicts&, const limits&);
step_result<void> check_passwords(const checked_pair&, verdicts&, const limits&);
step_result<void> check_large_objects(const checked_pair&, verdicts&, const limits&);
step_result<void> check_unlogged_tables(const checked_pair&, verdicts&, const limits&);
step_result<void> check_sequence_values(const checked_pair&, verdicts&, const limits&);

// checks_standby.cpp:
step_result<void> check_same_cluster(const checked_pair&, verdicts&, const limits&);
step_result<void> check_standby(const checked_pair&, verdicts&, const limits&);

// checks_replication.cpp:
step_result<void> check_subscription(const checked_pair&, verdicts&, const limits&);
step_result<void> check_slot(const checked_pair&, verdicts&, const limits&);
step_result<void> check_tables(const checked_pair&, verdicts&, const limits&);
step_result<void> check_publication(const checked_pair&, verdicts&, const limits&);
step_result<void> check_lag(const checked_pair&, verdicts&, const limits&);
step_result<void> check_apply_errors(const checked_pair&, verdicts&, const limits&);
step_result<void> check_publications(const checked_pair&, verdicts&, const limits&);
step_result<void> check_replica_identity(const checked_pair&, verdicts&, const limits&);

// checks_identity.cpp:
step_result<void> check_encoding(const checked_pair&, verdicts&, const limits&);
step_result<void> check_collation(const checked_pair&, verdicts&, const limits&);
step_result<void> check_settings(const checked_pair&, verdicts&, const limits&);
step_result<void> check_statistics(const checked_pair&, verdicts&, const limits&);

// checks_old.cpp:
step_result<void> check_long_transactions(const checked_pair&, verdicts&, const limits&);
step_result<void> check_other_sessions(const checked_pair&, verdicts&, const limits&);
step_result<void> check_logical_slots(const checked_pair&, verdicts&, const limits&);
step_result<void> check_running_ddl(const checked_pair&, verdicts&, const limits&);

// checks_data.cpp:
step_result<void> check_data(const checked_pair&, verdicts&, const limits&);

/// The subscription's publications as text[]; empty without one.
step_result<std::string> subscribed_publications(const checked_pair& pair, const limits& until);

/// The slot on the old server that feeds the subscription; empty without one.
step_result<std::string> subscription_slot(const checked_pair& pair, const limits& until);

/// The first five of `names` and how many more there are.
std::string first_few(const std::vector<std::string>& names);

}  // namespace pgsluice::control
