#pragma once

#include "protocol/errors.hpp"
#include "proxy/access/address_set.hpp"
#include "proxy/access/admission.hpp"

#include <boost/json/object.hpp>

#include <string>
#include <string_view>

namespace pgsluice::control {

/// A set alone, whose text has been checked; everybody else waits.
proxy::admission admission_of(std::string_view ranges);

/// The ranges as an operator writes them.
std::string ranges_of(const proxy::admission& who);

/// As the journal and `status` have it: {"set": [RANGE...], "unadmitted": "hold" | "refuse",
/// "message"?: TEXT}.
boost::json::object encode_admission(const proxy::admission& who);

/// The ranges of {"set": [RANGE...]}.
result<proxy::address_set> decode_set(const boost::json::object& fields);

/// Fails on what encode_admission() cannot have made.
result<proxy::admission> decode_admission(const boost::json::object& fields);

}  // namespace pgsluice::control
