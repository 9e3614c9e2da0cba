#pragma once

#include "protocol/errors.hpp"

#include <boost/json/object.hpp>

#include <functional>
#include <string>

namespace pgsluice::control {

/// How a command ended; also the exit code of sluicectl.
enum class exit_code : int {
    done = 0,
    failed = 1,          ///< tried, failed or aborted; everything is back as it was
    usage = 2,           ///< wrong usage or configuration
    no_daemon = 3,       ///< nobody listens on the control socket
    refused = 4,         ///< not possible in the current state
    deadline = 5,        ///< the deadline passed
    needs_operator = 6,  ///< after the commit point something needs an operator
};

/// The answer to one command.
struct outcome {
    exit_code exit = exit_code::done;
    std::string error;           ///< one line; empty when done
    boost::json::object result;  ///< also set by failures that have something to tell

    static outcome done(boost::json::object result) {
        return {exit_code::done, {}, std::move(result)};
    }
    static outcome of(exit_code exit, std::string error, boost::json::object result = {}) {
        return {exit, std::move(error), std::move(result)};
    }
    bool is_done() const { return exit == exit_code::done; }
};

/// Tells whoever gave the command how far it is; may be called from the command's thread only.
using progress_sink = std::function<void(const boost::json::object&)>;

}  // namespace pgsluice::control
