#pragma once

#include <boost/json/object.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::control {

/// Rows under a heading, columns aligned by two blanks, numbers to the right; without a heading
/// everything to the left. Control characters in cells (a client chooses its application_name) are
/// shown as `?`.
std::string render_table(
    const std::vector<std::string>& heading, const std::vector<std::vector<std::string>>& rows
);

/// A span of time for people: `250ms`, `1.5s`, `2m05s`, `3h20m`.
std::string render_ms(std::int64_t ms);

/// A command's result as tables: `status`, `sessions` and `preflight` have forms of their own,
/// everything else is one `key  value` line a value and a table for each list.
std::string render_result(std::string_view command_name, const boost::json::object& result);

/// A progress object ({"step", "text"?, "elapsed_ms"?}) as one line.
std::string render_progress(const boost::json::object& progress);

}  // namespace pgsluice::control
