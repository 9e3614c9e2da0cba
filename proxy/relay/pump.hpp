#pragma once

#include "protocol/conversation/session_state.hpp"
#include "protocol/guard/read_only_guard.hpp"
#include "protocol/wire/frame.hpp"
#include "proxy/model/stats.hpp"
#include "proxy/net/stream.hpp"
#include "proxy/relay/load_tap.hpp"
#include "proxy/relay/statement_tap.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace pgsluice::proxy {

/// Why a pump stopped for good.
enum class pump_end : std::uint8_t {
    none,             ///< it still runs (or is parked)
    client_gone,      ///< closed, reset, or said Terminate
    backend_gone,     ///< everything it had said was passed on
    client_violation  ///< the client's bytes were not protocol, and all before them is answered
};

/// Hears of what the session's coroutine has to act on. Called from within the pump's own event:
/// take note and return.
class pump_owner {
public:
    virtual void on_parked() = 0;
    virtual void on_pump_end() = 0;
    /// Parked, and the client has sent its first bytes since.
    virtual void on_client_waits() = 0;
    /// ParameterStatus from the backend, complete.
    virtual void on_parameter_status(std::string_view name, std::string_view value) = 0;

protected:
    ~pump_owner() = default;
};

/// THE hot path: bytes from the client to the backend and back, as they come. One recv and one send
/// a readiness, headers scanned in the worker's scratch buffer, nothing kept of what could be sent.
///
/// Gate: close() makes the client's bytes wait at the next boundary, or at the next point where the
/// backend still owes answers that will decide whether it is one. park happens when the session is
/// at a boundary; open() goes on with the bytes that waited. While parked, what the backend says on
/// its own (notices, notifications) still reaches the client.
class pump {
public:
    /// `scratch` is shared by all pumps of the worker and holds nothing between two events.
    pump(stream& client, std::span<std::uint8_t> scratch, pump_owner& owner, name_listener& names);

    /// Starts relaying between the client and a logged-in backend. `client_pid` is what the client
    /// takes for its backend's process id, `backend_pid` the real one. `from_backend` are bytes
    /// that were already read behind the login.
    void start(stream& backend, std::int32_t client_pid, std::int32_t backend_pid);

    /// Stops hearing of events; both streams are the caller's again.
    void stop() noexcept;

    void close();
    void open();
    bool parked() const noexcept { return parked_; }
    bool closing() const noexcept { return closing_; }
    bool waits() const noexcept { return client_waits_ || !held_.empty(); }

    /// Lends the backend's stream for a private exchange; requires parked(). give_back() takes the
    /// same or another backend.
    void lend_backend() noexcept;
    void give_back(stream& backend, std::int32_t backend_pid);

    /// Sends bytes of our own to the client behind everything already sent. Only where a message of
    /// the backend could stand: parked, or before start().
    void tell_client(byte_view bytes);

    /// The client's bytes that were read ahead of start().
    void hold_bytes(byte_view bytes) {
        held_.assign(bytes.begin(), bytes.end());
        counted_.received_bytes += bytes.size();
    }

    /// Backend bytes that were read behind a private exchange or the login: relayed as if just
    /// read.
    void feed_backend(byte_view bytes);

    /// From now on the guard stands between the two, or nobody does any more (null). Requires
    /// parked() or before start(); without a guard also may_unguard().
    void set_guard(std::unique_ptr<protocol::read_only_guard> guard) { guard_ = std::move(guard); }
    bool guarded() const noexcept { return guard_ != nullptr; }
    const protocol::read_only_guard* guard() const noexcept { return guard_.get(); }
    /// The client's settings have changed how its texts are to be read.
    void read_by(protocol::text_rules rules) noexcept {
        if (guard_) {
            guard_->read_by(rules);
        }
    }
    /// Reads the load into `sum`, which outlives that, or (null) does not any more. What is under
    /// way is lost where the sum is another one.
    void read_load(load_readings* sum) {
        if (sum == nullptr) {
            load_.reset();
        } else if (!load_ || !load_->reads_into(*sum)) {
            load_ = std::make_unique<load_tap>(*sum);
        }
    }
    /// What has been read ahead fits the scratch buffer, which a guarded session does without.
    bool may_unguard() const noexcept { return held_.size() < scratch_.size(); }

    pump_end end() const noexcept { return end_; }
    const std::string& violation() const noexcept { return violation_; }
    const protocol::session_state& state() const noexcept { return state_; }
    const statement_tap& tap() const noexcept { return tap_; }

    /// Requests forwarded so far; unchanged means that the session cannot have changed its state.
    std::uint64_t requests() const noexcept { return requests_; }
    /// What was relayed, and what we have told the client ourselves.
    const traffic& counted() const noexcept { return counted_; }
    /// Boundaries since start; for testing.move_every.
    std::uint64_t boundaries() const noexcept { return boundaries_; }
    /// When the session last changed between idle, active and in a transaction.
    steady_time since() const noexcept { return since_; }
    /// How long its transactions take: the longest one, each later one counting it half.
    steady_time::duration recent_work() const noexcept { return recent_work_; }
    /// At a boundary, running and not yet parked: close() would park it at once.
    bool at_rest() const noexcept { return running_ && !parked_ && at_boundary(); }
    /// A message of our own would stand between two messages, not inside one.
    bool may_tell_client() const noexcept { return from_backend_.between_messages(); }
    /// A part of what the backend says is still to come, and has to come through here: its
    /// connection cannot be lent yet. on_parked() is called again when it is there.
    bool is_inside_backend_message() const noexcept {
        return !from_backend_.between_messages() || !backend_leftover_.empty();
    }
    /// The last thing the backend said was an error: the client knows why it went.
    bool backend_said_why() const noexcept { return error_last_; }
    bool backend_over() const noexcept { return backend_eof_; }
    bool client_slow() const noexcept { return !to_client_.empty(); }

    /// Park at every Nth boundary; 0 never.
    void set_move_every(std::uint32_t n) noexcept { move_every_ = n; }

private:
    struct client_visitor;
    struct backend_visitor;
    struct guarded_visitor;
    struct side final : io_sink {
        pump& owner;
        void (pump::*handler)(std::uint32_t);
        side(pump& p, void (pump::*h)(std::uint32_t)) : owner(p), handler(h) {}
        void on_io(std::uint32_t events) override { (owner.*handler)(events); }
    };

    void on_client(std::uint32_t events);
    void on_backend(std::uint32_t events);
    void read_client();
    void look_at_parked_client();
    void read_backend();
    void take_from_client(std::span<std::uint8_t> bytes);
    void take_from_backend(std::span<std::uint8_t> bytes);
    void feed_held();
    void read_guarded_client();
    void drive_guard();
    bool waits_for_guard(std::size_t at) const noexcept;
    std::size_t guard_one(std::size_t at);
    void take_guarded_backend(std::span<std::uint8_t> bytes);
    void send_to_client(byte_view bytes);
    void send_to_backend(byte_view bytes);
    void flush(stream& to, std::vector<std::uint8_t>& pending, pump_end if_gone);
    void client_finished();
    void backend_finished();
    pump_end why_backend_went() const noexcept;
    bool at_boundary() const noexcept;
    void after_backend();
    void park();
    void finish(pump_end why);
    void set_interest();

    stream& client_;
    stream* backend_ = nullptr;
    std::span<std::uint8_t> scratch_;
    pump_owner& owner_;
    side client_side_;
    side backend_side_;

    protocol::session_state state_;
    protocol::frame_cursor from_client_;
    protocol::frame_cursor from_backend_;
    statement_tap tap_;
    std::unique_ptr<protocol::read_only_guard> guard_;  ///< null: forced read-only is off
    std::unique_ptr<load_tap> load_;                    ///< null: nobody asks for the load

    std::vector<std::uint8_t> held_;        ///< read from the client, not yet forwarded
    std::vector<std::uint8_t> to_backend_;  ///< forwarded, not yet taken by the socket
    std::vector<std::uint8_t> to_client_;
    std::vector<std::uint8_t> backend_leftover_;  ///< an incomplete header
    std::vector<std::uint8_t> status_body_;       ///< a ParameterStatus that is being gathered
    std::string violation_;

    traffic counted_;
    std::uint64_t requests_ = 0;
    std::uint64_t boundaries_ = 0;
    std::uint64_t next_move_ = 0;
    steady_time since_{};
    steady_time::duration recent_work_{};  ///< see recent_work()
    std::int32_t client_pid_ = 0;
    std::int32_t backend_pid_ = 0;
    std::uint32_t move_every_ = 0;
    std::uint32_t status_remaining_ = 0;
    pump_end end_ = pump_end::none;
    bool running_ = false;
    bool closing_ = false;
    bool parked_ = false;
    bool error_last_ = false;
    bool lent_ = false;
    bool holding_ = false;  ///< the client's bytes wait for answers that decide where they may go
    bool client_waits_ = false;
    bool client_seen_ = false;  ///< parked, hung up behind bytes that wait: nothing more to learn
    bool client_eof_ = false;
    bool backend_eof_ = false;
    bool terminate_ = false;
    bool guard_passes_ = false;  ///< the message that is being read goes on to the client
    bool leaving_ = false;       ///< Terminate was forwarded: the backend is about to close
};

}  // namespace pgsluice::proxy
