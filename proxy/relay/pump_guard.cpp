// The pump of a session that is forced read-only. Messages are taken one at a time, and wait in
// `held_` while the guard waits for an answer. The conversation that session_state and the tap
// follow is the client's, as if it had the server for itself; so a boundary is where it always is.
//
//   read_guarded_client  -> drive_guard -> guard: on_client -> send_to_backend
//   take_guarded_backend -> guard: on_server -> send_to_client -> drive_guard

#include "protocol/errors.hpp"
#include "protocol/wire/message_types.hpp"
#include "protocol/wire/wire.hpp"
#include "proxy/relay/pump.hpp"
#include "proxy/relay/pump_visitor.hpp"

#include <cstring>

namespace pgsluice::proxy {

namespace {

constexpr std::size_t header_bytes = protocol::frame_cursor::header_bytes;
constexpr std::uint32_t gathered_bytes_max = 64 * 1024;
/// A guarded session keeps one whole message at most, and not one that is longer.
constexpr std::uint32_t message_bytes_max = 64 * 1024 * 1024;

/// What the guard looks into, or what is looked into for the client's session.
constexpr bool is_gathered(std::uint8_t type) noexcept {
    return type == 'Z' || type == 'C' || type == 'E' || type == 'S' || type == 'A';
}

}  // namespace

void pump::read_guarded_client() {
    const io_result r = client_.recv(scratch_);
    if (r.done()) {
        counted_.received_bytes += r.bytes;
        held_.insert(
            held_.end(), scratch_.begin(), scratch_.begin() + static_cast<std::ptrdiff_t>(r.bytes)
        );
        drive_guard();
    } else if (r.over()) {
        // Nothing of what is under way can have an effect: there is nothing to wait for.
        finish(pump_end::client_gone);
    }
}

/// Lets the guard take what it can.
void pump::drive_guard() {
    std::size_t at = 0;
    std::size_t taken = 0;
    do {
        taken = 0;
        if (end_ == pump_end::none && !parked_ && !leaving_) {
            taken = guard_one(at);
            at += taken;
        }
    } while (taken != 0);
    if (end_ != pump_end::none) {
        return;
    }
    held_.erase(held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(at));
    if (held_.empty()) {
        held_ = {};
    }
    const std::string to_server = guard_->take_to_server();
    if (!to_server.empty()) {
        send_to_backend(protocol::as_bytes(to_server));
    }
    // More is read only where it is missing: what is whole waits for the guard.
    holding_ = !held_.empty() && (parked_ || waits_for_guard(0));
    if (closing_ && !parked_ && at_boundary()) {
        park();
    } else {
        set_interest();
    }
}

/// Whether the message at `at` of what was read can only be taken behind an answer.
bool pump::waits_for_guard(std::size_t at) const noexcept {
    return held_.size() - at >= header_bytes && !guard_->takes(static_cast<char>(held_[at]));
}

/// Gives the guard the message at `at` of what was read; its length, or 0 if it has to wait.
std::size_t pump::guard_one(std::size_t at) {
    const byte_view bytes = byte_view(held_).subspan(at);
    if (waits_for_guard(at)) {
        return 0;
    }
    if (bytes.size() < header_bytes || (closing_ && at_boundary())) {
        terminate_ = bytes.size() >= header_bytes && bytes[0] == 'X';
        return 0;
    }
    const std::uint8_t type = bytes[0];
    const std::uint32_t length = protocol::load_u32(bytes.data() + 1);
    if (length < 4 || length > message_bytes_max || !relayed[type]) {
        violation_ = !relayed[type] ? "invalid frontend message type " + std::to_string(type)
                                    : "invalid message length";
        finish(pump_end::client_violation);
        return 0;
    }
    const std::size_t whole = std::size_t{length} + 1;
    if (bytes.size() < whole) {
        return 0;
    }
    const byte_view body = bytes.subspan(header_bytes, length - 4);
    if (type == 'X') {
        terminate_ = true;
        leaving_ = true;
        send_to_backend(bytes.first(whole));
        return whole;
    }
    if (type != 'd') {
        if (state_.at_boundary()) {
            since_ = coarse_now();
        }
        ++requests_;
        if (load_) {
            load_->on_request();
        }
        state_.on_frontend(type);
    }
    if (type == 'Q' || type == 'P' || (type == 'B' && tap_.wants_bind())) {
        tap_.on_message({type, length - 4, 0, body});
    }
    guard_->on_client(static_cast<char>(type), body);
    return whole;
}

/// As backend_visitor, for what the guard lets pass; it goes into a buffer of its own.
struct pump::guarded_visitor {
    pump& p;
    std::span<std::uint8_t> bytes;
    backend_visitor relay;
    std::vector<std::uint8_t> out{};
    bool passes_body = false;

    static std::size_t prefix(std::uint8_t) noexcept { return 0; }

    void add(byte_view part) { out.insert(out.end(), part.begin(), part.end()); }

    bool on_message(const protocol::frame_cursor::message& m) {
        const bool is_whole = m.body_so_far.size() == m.body_bytes;
        if (is_gathered(m.type) && !is_whole && m.body_bytes <= gathered_bytes_max) {
            return false;  // left over, to be seen again with more of it
        }
        using reply = protocol::read_only_guard::reply;
        const reply what = p.guard_->on_server(static_cast<char>(m.type), m.body_so_far);
        passes_body = what == reply::pass;
        if (what == reply::drop) {
            return true;
        }
        relay.on_message(m);
        if (what == reply::replace) {
            add(protocol::as_bytes(p.guard_->replacement()));
        } else {
            add(bytes.subspan(m.offset, header_bytes + m.body_so_far.size()));
        }
        return true;
    }

    void on_body(byte_view part) {
        if (passes_body) {
            add(part);
        }
    }
};

void pump::take_guarded_backend(std::span<std::uint8_t> bytes) {
    guarded_visitor visitor{*this, bytes, {*this, bytes}};
    visitor.passes_body = guard_passes_;
    const std::size_t used = from_backend_.scan(bytes, visitor);
    guard_passes_ = visitor.passes_body;
    backend_leftover_.assign(bytes.begin() + static_cast<std::ptrdiff_t>(used), bytes.end());
    if (!visitor.out.empty()) {
        send_to_client(visitor.out);
    }
    if (from_backend_.broken()) {
        backend_finished();
    }
    if (end_ == pump_end::none) {
        after_backend();
    }
    if (end_ == pump_end::none) {
        drive_guard();
    }
}

}  // namespace pgsluice::proxy
