#pragma once

#include "proxy/image/session_image.hpp"

#include <span>
#include <string>
#include <vector>

namespace pgsluice::proxy {

/// What same_state() leaves out.
struct comparison_options {
    bool ignores_channels = false;  ///< LISTEN is still to come (new server is in recovery)
    std::span<const std::string> ignored_settings = {};  ///< which the proxy itself had set
};

/// How two images differ. `differences` mean that the state was not re-created; `warnings` are
/// differences between the servers' own defaults for this login (ALTER ROLE/DATABASE … SET).
struct comparison {
    std::vector<std::string> differences;
    std::vector<std::string> warnings;
    bool is_same() const noexcept { return differences.empty(); }
};

/// Compares without pid, server version and OIDs (types are compared by schema and name). Capture
/// the new side with capture_names(old_image), so that both know the same custom names.
comparison same_state(
    const session_image& old_image,
    const session_image& new_image,
    const comparison_options& options = {}
);

/// The custom names to ask the new server for: those with a value, and registered dotted names that
/// the new server may still hold as placeholders because its library is loaded on demand.
std::vector<std::string> capture_names(const session_image& old_image);

}  // namespace pgsluice::proxy
