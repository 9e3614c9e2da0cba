// What happens where a failed step is used as a success.

#include "control/base/step_result.hpp"

#include "protocol/errors.hpp"

namespace pgsluice::control {

void throw_exception_from_error(const step_failure& f, const boost::source_location& where) {
    assertion_failed(f.text.c_str(), where.file_name(), static_cast<int>(where.line()));
}

}  // namespace pgsluice::control
