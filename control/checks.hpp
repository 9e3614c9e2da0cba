#pragma once

#include "control/pg_client.hpp"

#include <cstdint>
#include <string>
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
    std::uint32_t sessions_to_come;
    bool is_to_fence_ours;
};

/// Appends one row a check; fails only when a question could not be asked at all.
using check_rows = std::vector<check_row>;
void check_roles(const checked_pair& pair, check_rows& rows);
void check_capacity(const checked_pair& pair, check_rows& rows);
void check_fence(const checked_pair& pair, check_rows& rows);
step_result<void> check_catalogs(const checked_pair& pair, check_rows& rows, limits until);
step_result<void> check_physical(const checked_pair& pair, check_rows& rows, limits until);
step_result<void> check_logical(const checked_pair& pair, check_rows& rows, limits until);

/// The first five of `names` and how many more there are.
std::string first_few(const std::vector<std::string>& names);

}  // namespace pgsluice::control
