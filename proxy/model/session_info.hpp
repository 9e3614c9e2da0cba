#pragma once

#include "protocol/errors.hpp"
#include "proxy/access/address_set.hpp"
#include "proxy/model/service_settings.hpp"
#include "proxy/model/stats.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::proxy {

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

/// Why a session cannot be moved. The code is stable for scripts, the text for people.
struct pin_reason {
    std::string code;  ///< temp, hold_cursor, credentials, ... (docs/pins.md)
    std::string text;
};

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

/// Asks every session of a service to get ready to move to another backend.
struct move_order {
    std::uint64_t id = 0;
    std::uint32_t to = 0;  ///< index into service_settings::backends
    bool standby = false;  ///< `to` is a hot standby now and will be promoted before the switch
};

/// Which sessions a drain is about; what is not given is any.
struct drain_filter {
    std::optional<std::uint32_t> backend{};  ///< index into service_settings::backends
    std::string user{};
    address_set from = address_set::all();
};

/// Sums over all workers, taken from what each published last. A worker publishes after every batch
/// of events in which one of these changed, so a wait on them needs no polling.
struct service_progress {
    std::uint32_t held = 0;      ///< clients whose startup waits for the gate
    std::uint32_t sessions = 0;  ///< sessions past the gate: parked or still to park
    std::uint32_t parked = 0;
    /// After hold_long(): held, still to park; or busy since before it, so that it may become long.
    std::uint32_t long_running = 0;
    std::uint32_t draining = 0;      ///< after drain(): not ended yet
    std::uint32_t to_reconnect = 0;  ///< after reconnect(): still on the connection they had
    std::uint32_t to_follow = 0;     ///< after set_canary(): still to move, or to be guarded
    std::uint32_t on_canary = 0;     ///< on the canary's backend
    std::uint32_t unguarded = 0;     ///< while forced read-only: still able to write
    // the rest is zero unless a move order stands
    std::uint32_t prepared = 0;   ///< have a logged-in spare that carries the state last captured
    std::uint32_t preparing = 0;  ///< being captured or prepared, or waiting for their turn
    std::uint32_t settled = 0;    ///< parked with a final verdict "movable" and nothing left to do
    std::uint32_t pinned = 0;     ///< parked with a final verdict "pinned"
    std::uint32_t unready = 0;  ///< parked, the new backend refused them (login, replay); see pins
    // after a switch
    std::uint32_t to_switch = 0;  ///< still to be switched
    std::uint32_t to_cross = 0;   ///< of these: the new connection still lacks something
    std::uint32_t switched = 0;
    std::uint32_t lost = 0;  ///< could not follow after the switch, ended with 57P01

    friend bool operator==(const service_progress&, const service_progress&) = default;
};

/// What a client is told when the operator's policy ends its session.
using farewell = failure;

}  // namespace pgsluice::proxy
