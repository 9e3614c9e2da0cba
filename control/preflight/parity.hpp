#pragma once

#include "control/preflight/checks.hpp"

#include <cstdint>
#include <string_view>

namespace pgsluice::control {

/// What is said about an object that only the new server has.
enum class extra_objects : std::uint8_t { ignored, noted, bad };

/// One kind of object in the catalogs of a database, and how both sides are compared.
struct catalog {
    std::string_view noun;  ///< "index"
    /// Rows of: unique name, definition, the statement that creates the object, the statement that
    /// gives an existing one this definition; the last two may be NULL; optionally: whether initdb
    /// made it, so that it is a note when a new server of another version lacks it. May use the
    /// relations `rel` (pg_class with `full_name`), `fn` (pg_proc) and `ty` (pg_type), which leave
    /// out the system's own, those of extensions and temporary ones.
    std::string_view sql;
    extra_objects extra = extra_objects::noted;
    /// Servers of different versions write the same definition differently: then it is a note.
    bool is_deparsed = false;
    bool is_difference_noted = false;
    /// Names with this beginning may be missing where a fence of an earlier cutover took them away,
    /// which the next one lifts.
    std::string_view fenced{};
};

extern const catalog table_catalog;
extern const catalog column_catalog;
extern const catalog default_catalog;
extern const catalog generated_catalog;
extern const catalog sequence_catalog;
extern const catalog sequence_owner_catalog;
extern const catalog index_catalog;
extern const catalog constraint_catalog;
extern const catalog trigger_catalog;
extern const catalog view_catalog;
extern const catalog materialized_catalog;
extern const catalog function_catalog;
extern const catalog type_catalog;
extern const catalog extension_catalog;
extern const catalog role_catalog;
extern const catalog membership_catalog;
extern const catalog role_setting_catalog;
extern const catalog owner_catalog;
extern const catalog grant_catalog;
extern const catalog row_security_catalog;

/// Asks both servers for the objects of `kind` and tells what is missing on the new one, what
/// differs there and what it has in addition.
step_result<void> compare_catalogs(
    const checked_pair& pair, const catalog& kind, verdicts& found, const limits& until
);

/// As a function of the table of checks.
template <const catalog& Kind>
step_result<void> compare(const checked_pair& pair, verdicts& found, const limits& until) {
    return compare_catalogs(pair, Kind, found, until);
}

/// Asks both servers the same at the same time.
struct both_answers {
    step_result<pg_rows> from;
    step_result<pg_rows> to;
};
both_answers ask_both(
    const checked_pair& pair,
    const std::string& sql,
    pg_client::parameters values,
    const limits& until
);

}  // namespace pgsluice::control
