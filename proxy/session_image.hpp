#pragma once

#include "protocol/errors.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::proxy {

// All texts of an image are bytes in the database's own encoding, exactly as the server has them.

/// A row of pg_settings that is not at a server-wide default.
struct setting {
    std::string name;
    std::string value;   ///< in base units, as pg_settings.setting
    std::string source;  ///< "session", "client", "user", "database", "database user", "global"
    std::string reset_value;
    std::string context;  ///< "user", "superuser", "backend", …

    bool is_session() const noexcept { return source == "session"; }
    bool operator==(const setting&) const = default;
};

/// A placeholder GUC ("app.x"); in no view of the server, read by name.
struct custom_setting {
    std::string name;
    std::string value;
    bool operator==(const custom_setting&) const = default;
};

/// A row of pg_prepared_statements.
struct prepared_statement {
    std::string name;
    bool is_from_sql = false;  ///< PREPARE; its text is then the whole query string it came in
    std::string text;
    std::vector<std::uint32_t> parameter_types;
    bool operator==(const prepared_statement&) const = default;
};

/// A type whose OID differs between servers.
struct user_type {
    std::uint32_t oid = 0;
    std::string schema;
    std::string name;
    bool operator==(const user_type&) const = default;
};

/// OIDs below are the same on every server of the supported versions; those from here on were
/// handed out by initdb or later ("System Catalog Initial Data", FirstGenbkiObjectId).
inline constexpr std::uint32_t first_unstable_oid = 10000;

/// A session-level advisory lock as pg_locks shows it: once, however often it is held.
struct advisory_lock {
    bool is_pair = false;  ///< pg_advisory_lock(int, int) instead of (bigint)
    std::string key;       ///< "5" or "-1,7"
    bool is_shared = false;
    bool operator==(const advisory_lock&) const = default;
};

/// Everything a session carries at a boundary, as captured from its backend.
struct session_image {
    int server_version_num = 0;
    std::int64_t backend_pid = 0;
    std::string database_encoding;
    std::string client_encoding;
    bool has_standard_strings = true;  ///< standard_conforming_strings
    std::string session_user;
    std::string current_user;
    std::string role;  ///< "none" without SET ROLE
    std::vector<setting> settings;
    std::vector<std::string> registered_names;  ///< dotted names that are no placeholders
    std::vector<custom_setting> custom_settings;
    std::vector<prepared_statement> statements;
    std::vector<user_type> types;  ///< of the statements' parameters and of the asked-for OIDs
    std::vector<std::string> channels;
    std::vector<advisory_lock> locks;
    std::vector<std::string> hold_cursors;
    bool has_temp_objects = false;
    std::optional<bool> has_unnamed_statement;  ///< empty: not asked

    bool operator==(const session_image&) const = default;
};

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

/// One reason, with a text that names the object.
struct pin {
    pin_code code = pin_code::protocol;
    std::string text;
    bool operator==(const pin&) const = default;
};

/// What only the wire tells about a session; the session keeps these flags.
struct wire_knowledge {
    bool has_credentials = false;   ///< the login asked for a password, which we do not have
    bool is_replication = false;    ///< startup parameter `replication`
    bool names_incomplete = false;  ///< set_config() with a name that is not in the text
    bool uses_currval = false;      ///< currval() or lastval() was called
    bool lexing_changed = false;    ///< standard_conforming_strings was changed since the start
    bool knows_unnamed = true;      ///< the last successful Parse "" is kept (or there was none)
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
