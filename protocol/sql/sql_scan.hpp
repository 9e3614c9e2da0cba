#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::protocol {

/// Statement text is looked into up to here; custom GUCs and currval hide behind more only in
/// dumps.
inline constexpr std::size_t sql_scan_bytes_max = 64 * 1024;

/// What a statement's text tells about state that no server view shows.
struct sql_scan_result {
    /// Names of custom GUCs (lower case, with a dot, ASCII) that the text may set, reset or read.
    /// May hold names that are none: `UPDATE t SET a.b = 1`.
    std::vector<std::string> names;
    /// Numbers n of parameters $n whose values are names: first arguments of set_config() and
    /// current_setting(). Look into the Bind message, see custom_name().
    std::vector<unsigned> name_parameters;
    /// set_config() with a computed name that outlives its transaction, or a name that is not
    /// ASCII.
    bool names_incomplete = false;
    bool uses_currval = false;  ///< currval() or lastval()
    bool is_truncated = false;  ///< longer than sql_scan_bytes_max: the rest was not looked into

    bool empty() const noexcept {
        return names.empty() && name_parameters.empty() && !names_incomplete && !uses_currval;
    }
    bool operator==(const sql_scan_result&) const = default;
};

/// Scans the text of a Query or Parse message, adding to `found`. One pass that also looks inside
/// comments, strings and function bodies: too much found is harmless, too little is not. About a
/// nanosecond a byte; allocates only when it finds something.
void scan_sql(std::string_view text, sql_scan_result& found);

/// The custom GUC name in a value that is used as a setting's name: lower case; empty if it has no
/// dot or is not plain ASCII of a sane length.
std::string custom_name(std::string_view value);

}  // namespace pgsluice::protocol
