// What a broken promise does: a failed result that is used as a value, a failed assertion.

#include "protocol/errors.hpp"

#include <cstdio>
#include <cstdlib>
#include <stdexcept>

namespace pgsluice {

void throw_exception_from_error(const failure& f, const boost::source_location& where) {
    throw std::logic_error(
        std::string(where.file_name()) + ": a failed result was used as a value: " + f.message
    );
}

void assertion_failed(const char* condition, const char* file, int line) noexcept {
    std::fprintf(stderr, "pgsluice: broken invariant: %s (%s:%d)\n", condition, file, line);
    std::abort();
}

}  // namespace pgsluice
