#pragma once

#include "control/postgres/pg_client.hpp"

#include <string>

namespace pgsluice::control {

/// Sequences are not replicated logically: their values are copied while nobody can draw one.

/// Parses the statements that copy_sequences() runs.
step_result<void> prepare_sequences(pg_client& from, pg_client& to, limits until);

/// Sets every sequence of `to` that lags behind `from`, of all schemas of the database both are
/// logged in to. Never moves one backwards (forwards for a negative increment). Those that have
/// been drawn from leave out `margin` values. Says how many.
step_result<std::string>
copy_sequences(pg_client& from, pg_client& to, std::uint32_t margin, limits until);

}  // namespace pgsluice::control
