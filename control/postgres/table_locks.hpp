#pragma once

#include "control/postgres/pg_client.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace pgsluice::control {

/// The databases of a server that users have things in: no templates.
step_result<std::vector<std::string>> user_databases(pg_client& server, const limits& until);

/// Every table of users on one server, held against writes by one connection a database; let go
/// when the object ends, or the process does. Who holds them has to be a superuser.
class table_locks {
public:
    /// Logs in to every database; locks nothing yet. The sessions are told from others by the
    /// login's application_name and ":locks".
    static step_result<table_locks> connect(const pg_login& login, limits until);

    table_locks() = default;

    /// Locks all tables in SHARE mode, which waits for everybody who has written (Explicit Locking,
    /// "Table-Level Locks"). The server gives up waiting a little before the deadline, so that no
    /// request is left in a queue, where it would keep writers waiting too.
    step_result<void> lock(limits until);

    /// The server processes behind it.
    std::vector<std::int32_t> pids() const;
    std::size_t tables() const { return tables_; }

private:
    std::vector<pg_client> holders_;
    std::size_t tables_ = 0;
};

/// Tries what every write to a row begins with on a table of this database, if it has one. Fails
/// unless somebody else's lock refuses it.
step_result<void> expect_locked(pg_client& server, const limits& until);

}  // namespace pgsluice::control
