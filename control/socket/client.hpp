#pragma once

#include "control/commands/outcome.hpp"
#include "control/commands/request.hpp"

#include <string>

namespace pgsluice::control {

/// Gives one command to the daemon behind the socket and waits for its end, however long it takes;
/// every wait of the daemon has a deadline of its own. Nobody there is exit_code::no_daemon; a
/// daemon that goes away amid the command is exit_code::needs_operator, because nobody knows.
outcome run_command(const std::string& socket, const request& given, const progress_sink& progress);

}  // namespace pgsluice::control
