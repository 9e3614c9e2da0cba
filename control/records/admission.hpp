#pragma once

#include "control/commands/request.hpp"
#include "proxy/access/address_set.hpp"
#include "proxy/access/admission.hpp"

#include <boost/json/object.hpp>

#include <string>
#include <string_view>

namespace pgsluice::control {

/// What the command `admit` asks for; make_request() has checked it.
proxy::admission requested_admission(const request& given);

/// Stands where RANGES do: `admit plan` proposes stages.
inline constexpr std::string_view plan_word = "plan";

/// What `admit` may be given together; the values of its arguments were checked by themselves.
result<void> check_admit(const request& given);

/// How many stages `admit plan` is to propose; 0 where that is no such number.
std::size_t planned_stages(const request& given);

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
