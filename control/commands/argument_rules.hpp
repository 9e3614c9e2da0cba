#pragma once

#include "control/commands/request.hpp"
#include "protocol/errors.hpp"
#include "proxy/access/admission.hpp"

#include <cstddef>
#include <string_view>

namespace pgsluice::control {

/// Stands where RANGES do: `admit plan` proposes stages.
inline constexpr std::string_view plan_word = "plan";

/// Stands where RANGES do: the canary ends.
inline constexpr std::string_view off_word = "off";

/// A command that works at once or in stages is given exactly one of RANGES, --stages, --pause,
/// --resume and --skip.
result<void> check_one_way(const request& given);

/// What `admit` may be given together; the values of its arguments were checked by themselves.
result<void> check_admit(const request& given);

/// What `canary` may be given together; the values of its arguments were checked by themselves.
result<void> check_canary(const request& given);

/// How many stages `admit plan` is to propose; 0 where that is no such number.
std::size_t planned_stages(const request& given);

/// What the command `admit` asks for; make_request() has checked it.
proxy::admission requested_admission(const request& given);

}  // namespace pgsluice::control
