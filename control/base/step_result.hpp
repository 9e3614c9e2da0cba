#pragma once

#include <boost/system/result.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace pgsluice::control {

/// Why a step of a cutover could not be done.
enum class setback : std::uint8_t {
    failed,    ///< a server or the proxy said no
    deadline,  ///< it took too long
    aborted,   ///< the operator, or a shutdown
    refused,   ///< a preflight check or the policy for pinned sessions
};

struct step_failure {
    setback why = setback::failed;
    std::string text;               ///< one line: what, where, and the server's own words
    std::string hint;               ///< what to do about it; may be empty
    std::vector<std::string> rows;  ///< the sessions or objects in question; bounded by the maker
};

template <class T>
using step_result = boost::system::result<T, step_failure>;

/// boost::system::result calls this where value() is taken from a failed outcome: a bug of ours.
[[noreturn]] void
throw_exception_from_error(const step_failure& f, const boost::source_location& where);

}  // namespace pgsluice::control
