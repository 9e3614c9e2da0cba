#pragma once

#include "proxy/image/pins.hpp"
#include "proxy/image/session_image.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::proxy {

/// Why a session cannot be moved.
enum class pin_code : std::uint8_t {
    temp,
    hold_cursor,
    credentials,
    replication,
    sql_prepared,
    statement,
    unnamed_statement,
    currval,
    custom_guc,
    guc,
    role,
    listen,
    advisory_lock,
    unknown_type,
    encoding,
    statement_timeout,
    capture_failed,
    state_differs,
    protocol,
};

/// The code's name as operators see it: "temp", "hold_cursor", …
std::string_view to_string(pin_code code) noexcept;

/// Of a session that could be moved to a server which does not take it now.
inline constexpr std::string_view unready_code = "unready";

/// One reason, with a text that names the object.
struct pin {
    pin_code code = pin_code::protocol;
    std::string text;
    bool operator==(const pin&) const = default;
};

/// The same as operators see them.
std::vector<pin_reason> reasons_of(const std::vector<pin>& pins);
std::vector<pin_reason> one_reason(pin_code code, std::string text);

/// What only the wire tells about a session; the session keeps these flags.
struct wire_knowledge {
    bool lacks_credentials = false;  ///< the login asked for a password, which is not known here
    bool is_replication = false;     ///< startup parameter `replication`
    bool names_incomplete = false;   ///< set_config() with a name that is not in the text
    bool uses_currval = false;       ///< currval() or lastval() was called
    bool lexing_changed = false;     ///< standard_conforming_strings was changed since the start
    bool knows_unnamed = true;       ///< the last successful Parse "" is kept (or there was none)
    bool protocol_uncertain = false;
};

/// The reasons against a move; none means movable.
struct verdict {
    std::vector<pin> pins;
    bool is_movable() const noexcept { return pins.empty(); }
};

/// Judges what the image and the wire tell. A later replay can still fail (a GUC that the new
/// server does not know, a lock somebody else holds). Runs the SQL scanner over the texts of
/// statements made by PREPARE: microseconds a statement, bounded (see sql_prepare.hpp).
verdict judge(const session_image& image, const wire_knowledge& wire);

}  // namespace pgsluice::proxy
