#pragma once

#include "control/base/deadline.hpp"
#include "control/base/step_result.hpp"
#include "control/postgres/pg_client.hpp"

#include <string>

namespace pgsluice::control {

/// Logical replication from the new server back to the old one, set up by a cutover so that going
/// back loses nothing (Logical Replication, "Subscription"). `from` is the server that is left,
/// `to` the one that takes over and that follows `from` until then.
///
/// The slot on `to` is made before the pause and moved past everything that came from `from` once
/// all of that is applied: what it then holds is what clients write on `to`, so no change runs in a
/// circle, with every version of PostgreSQL.
struct way_back {
    std::string subscription;  ///< on either server, of the one direction or the other
    std::string slot;          ///< on `to`
    std::string conninfo;      ///< by which `from` reaches `to`
};

/// A slot's name (lower case letters, digits, underscores; at most 63) for a service's way back.
std::string way_back_slot(std::string_view service);

/// Makes publication and slot on `to` and a disabled subscription on `from`, for the tables that
/// the present subscription has. Replaces what an interrupted attempt left. Fails when `from` has a
/// subscription of that name that is not ours, or cannot reach `to`. Also parses the
/// statement of mark_way_back().
step_result<void>
prepare_way_back(pg_client& from, pg_client& to, const way_back& wanted, limits until);

/// What `to` has written until now will not go back to `from`.
step_result<void> mark_way_back(pg_client& to, const way_back& wanted, limits until);

/// After the commit point, with the present subscription disabled: drops it and its slot on `from`,
/// which would keep write-ahead log for nobody, and lets `from` follow `to`. May be repeated.
step_result<void> follow_back(pg_client& from, pg_client& to, const way_back& wanted, limits until);

/// Takes away what prepare_way_back() made, whatever there is of it.
step_result<void>
undo_way_back(pg_client& from, pg_client& to, const way_back& wanted, limits until);

}  // namespace pgsluice::control
