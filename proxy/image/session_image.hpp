#pragma once

#include <cstdint>
#include <optional>
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
    bool is_currval_defined = false;  ///< lastval() has a value; false as well when not asked
    std::optional<bool> has_unnamed_statement;  ///< empty: not asked

    bool operator==(const session_image&) const = default;
};

}  // namespace pgsluice::proxy
