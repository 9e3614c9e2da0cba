#pragma once

#include <boost/json/object.hpp>

#include <string>

namespace pgsluice::control {

/// The result of `preflight` as one HTML page that needs nothing else: for a ticket or a colleague.
std::string verdicts_page(const boost::json::object& result);

/// What `cutover` or `rollback` came to, likewise: where the time went step by step, how long
/// clients waited, who could not follow, every verdict, and the way back.
std::string report_page(const boost::json::object& result);

}  // namespace pgsluice::control
