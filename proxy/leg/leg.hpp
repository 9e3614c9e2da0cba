#pragma once

#include "protocol/errors.hpp"
#include "protocol/wire/startup.hpp"
#include "proxy/image/script.hpp"
#include "proxy/leg/parameter_set.hpp"
#include "proxy/model/service_settings.hpp"
#include "proxy/net/endpoint.hpp"
#include "proxy/net/stream.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace pgsluice::proxy {

/// One logged-in (or being logged-in) connection to a backend.
struct leg {
    explicit leg(reactor& r) : io(r) {}

    /// Notes a ParameterStatus in `reported`.
    void record_status(byte_view body);

    stream io;
    std::uint32_t backend = 0;  ///< index into service_settings::backends
    protocol::channel_binding binding = protocol::channel_binding::prefer;  ///< of its login
    std::string preface;   ///< what every connection to its server begins with; empty: nothing
    endpoint address;      ///< the one that answered
    std::int32_t pid = 0;  ///< BackendKeyData, the real ones
    std::string key;
    bool is_canary = false;          ///< was opened for the canary, see canary_route
    bool is_read_only = false;       ///< only a guarded session may use it
    bool is_restricted = false;      ///< logs in as the backend's read_only_login
    bool asked_credentials = false;  ///< the backend wanted more than `trust`
    bool dead = false;               ///< seen to be closed or out of step
    parameter_set reported;
    std::vector<std::uint8_t> early;  ///< read behind the login or a script, not looked at yet
};

/// Connects to the first endpoint of `target` that accepts, sends the preface and lets TLS begin as
/// the target wants it. On failure: 57P03, naming the backend and what each address said.
task<result<void>>
open_leg(leg& l, wait_point& point, const backend_target& target, milliseconds timeout_each);

/// What to do with messages of a script's answer that belong to somebody else. Called with the
/// whole message, header included.
using stray_message = std::function<void(std::uint8_t type, byte_view message)>;

/// For scripts on a leg that nobody listens to yet.
extern const stray_message ignore_stray;

/// Runs a script on a leg at a boundary and reads all its answers; ParameterStatus is recorded in
/// `reported` before `stray` hears of it. Bytes behind the last answer are left in `early`. Fails
/// with 08006 when the leg broke or the deadline passed; then it is `dead`.
task<result<script_outcome>> run_script(
    leg& l, wait_point& point, const script& s, steady_time deadline, const stray_message& stray
);

/// Which connection of which server is to cancel what it runs.
struct cancel_order {
    endpoint address;
    std::int32_t pid = 0;
    std::string key;
    tls_context::pointer tls;  ///< null: plain
    std::string preface{};     ///< as the leg's

    /// `target` is the one that the leg was opened with; the request takes the way the leg took.
    static cancel_order of(const leg& l, const backend_target& target);
};

/// Opens a connection of its own and asks the server to cancel, best effort.
task<void> send_cancel(reactor& loop, cancel_order order, steady_time deadline);

}  // namespace pgsluice::proxy
