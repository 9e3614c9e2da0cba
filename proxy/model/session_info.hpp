#pragma once

#include "proxy/image/pins.hpp"
#include "proxy/model/stats.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::proxy {

using std::chrono::milliseconds;

/// Identifies a session for the life of the process; never reused.
using session_id = std::uint64_t;

enum class session_phase : std::uint8_t {
    startup,         ///< startup packet not complete
    held,            ///< startup complete, waits for the gate; has no backend
    login,           ///< backend connection being opened or authenticated
    idle,            ///< at a boundary, nothing held
    active,          ///< a request is unanswered, no transaction block
    in_transaction,  ///< inside a transaction block (also a failed one)
    parked,          ///< held by the gate at a boundary
    moving,          ///< parked, and its state is being captured, replayed or switched
};
std::string_view to_string(session_phase phase) noexcept;

/// One row of `sluicectl sessions`, a copy taken on the session's own thread.
struct session_info {
    session_id id = 0;
    std::uint32_t worker = 0;
    session_phase phase = session_phase::startup;
    std::string user;
    std::string database;
    std::string application;
    std::string address;           ///< the client's
    std::string backend;           ///< empty while there is none
    std::int32_t backend_pid = 0;  ///< the real one, as in pg_stat_activity
    milliseconds age{0};           ///< since accept
    milliseconds phase_age{
        0};              ///< since the last change between idle, active, in_transaction, parked
    bool waits = false;  ///< held, and the client has sent something
    bool is_draining = false;               ///< to be ended at its boundary
    bool is_to_reconnect = false;           ///< to be given a fresh connection
    bool is_admitted = true;                ///< its address is in the admitted set
    bool is_guarded = false;                ///< forced read-only has reached it
    bool is_canary = false;                 ///< belongs on the canary's backend
    bool is_astray = false;                 ///< is elsewhere than the canary, or its end, wants it
    bool is_restricted = false;             ///< logged in as its backend's read_only_user
    bool awaits_login = false;              ///< should have that login, or should not, any more
    bool is_encrypted = false;              ///< TLS between the client and the proxy
    std::string_view replication = "none";  ///< or logical, physical: what the startup asks for
    std::uint64_t moves = 0;                ///< backend connections it has left behind
    traffic counted{};
    std::string query;             ///< the beginning of the last statement text seen on the wire
    std::vector<pin_reason> pins;  ///< known so far; complete only after a settle
};

}  // namespace pgsluice::proxy
