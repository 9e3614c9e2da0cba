#pragma once

#include "control/config/config.hpp"
#include "control/postgres/pg_client.hpp"
#include "control/postgres/table_locks.hpp"
#include "control/records/read_only.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace pgsluice::control {

/// The server's side of forced read-only, against sessions that the proxy does not see and against
/// what a read-only transaction does not stop. Everything goes through the service's admin login,
/// which has to be a superuser's; every call opens connections of its own.
class server_fence {
public:
    server_fence(const service_config& service, const backend_config& backend)
        : service_(service), backend_(backend) {}

    /// Fills in what undoing `next.fence` will take; nothing is changed yet. A standby needs none:
    /// then `next` is without a fence.
    step_result<void> plan(read_only_record& next, limits until);

    /// Raises what was planned; may be repeated. Yields in words who could still be writing past
    /// the proxy: transactions that had begun before, prepared ones.
    step_result<std::vector<std::string>>
    raise(const read_only_record& planned, const std::vector<std::int32_t>& ours, limits until);

    /// Locks every table against writes, as long as what this yields lives.
    step_result<table_locks> lock_tables(limits until);

    /// Puts back what raise() has changed; may be repeated.
    step_result<void> lower(const read_only_record& raised, limits until);

private:
    pg_login login_of(const std::string& database, const std::string& name) const;
    step_result<pg_client>
    connect(const std::string& database, const std::string& name, limits until) const;
    step_result<std::vector<std::string>> databases(limits until) const;

    const service_config& service_;
    const backend_config& backend_;
};

}  // namespace pgsluice::control
