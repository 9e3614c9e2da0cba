#pragma once

#include "proxy/image/movability.hpp"
#include "proxy/image/script.hpp"
#include "proxy/image/session_image.hpp"
#include "proxy/image/type_map.hpp"

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace pgsluice::proxy {

/// The leg that an image is replayed on: freshly logged in with the client's own StartupMessage.
struct replay_target {
    std::string login_user;  ///< startup parameter `user`; another session_user is then set
    int server_version_num = 0;
    bool in_recovery = false;        ///< LISTEN is refused there and moves to after_promotion
    const oid_map* types = nullptr;  ///< old -> new; may be null without user types
    /// Body of the client's last successful Parse "" as it came (client encoding, old OIDs); empty
    /// if there was none or the server no longer has it.
    protocol::byte_view unnamed_parse = {};
    /// Session settings that are not the client's: set by the proxy itself on the old leg.
    std::span<const std::string> skipped_settings = {};
};

/// The image as a session of `to` would have it, of one that has logged in as `from` and has set no
/// other session authorization.
session_image with_login(session_image image, std::string_view from, std::string_view to);

/// What to send. `before_promotion` may run while the new server is still a hot standby;
/// `after_promotion` is empty unless the target is in recovery and the session listens.
struct replay_plan {
    script before_promotion;
    script after_promotion;
};

/// Plans the whole replay. Order: local client_encoding = database encoding and no timeouts;
/// advisory locks with the try functions; settings and custom settings as login user; session
/// authorization, role; LISTEN; named statements; the client's unnamed statement; COMMIT. Fails
/// with 42704 (type unknown on the new server) or 0A000 (PREPARE text that cannot be cut out).
result<replay_plan> plan_replay(const session_image& image, const replay_target& target);

/// Plans what `now` has more than `previous`, which was replayed on the leg before and is its state
/// still: statements, channels and locks added, settings added or changed, another role. Nothing if
/// anything was taken away or changed otherwise: then reset_request() and plan_replay().
std::optional<replay_plan>
plan_delta(const session_image& previous, const session_image& now, const replay_target& target);

/// DISCARD ALL: back to the state right after login (also drops the unnamed statement). Two Sync
/// groups; works on a hot standby.
script reset_request();

/// The pin that a failed replay means: which item the new server refused, and why.
pin pin_of(const script_error& error);

}  // namespace pgsluice::proxy
