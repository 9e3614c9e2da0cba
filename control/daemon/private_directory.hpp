#pragma once

#include "protocol/errors.hpp"

#include <string>

namespace pgsluice::control {

/// Creates a new directory that only this user can enter, under $XDG_RUNTIME_DIR, else $TMPDIR,
/// else /tmp. For a start without a file, whose state nobody else should find.
result<std::string> make_private_directory();

}  // namespace pgsluice::control
