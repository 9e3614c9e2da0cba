#pragma once

#include "control/base/exit_code.hpp"

#include <boost/json/object.hpp>

#include <functional>
#include <string>

namespace pgsluice::control {

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
