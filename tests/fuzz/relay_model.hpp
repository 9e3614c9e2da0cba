#pragma once

#include "protocol/conversation/session_state.hpp"
#include "protocol/wire/frame.hpp"
#include "protocol/wire/message_types.hpp"
#include "protocol/wire/wire.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pgsluice::fuzz {

/// A relay as simple as it can be: keeps everything as a string, cuts one message after the other,
/// and decides before each message of the client whether it has to wait. The pump has to send the
/// same bytes and park at the same instants, in whatever pieces it gets them.
class relay_model {
public:
    std::string to_backend;  ///< all that is due to the backends, the one after the other
    std::string to_client;   ///< all that is due to the client
    std::vector<std::pair<std::string, std::string>> statuses;  ///< ParameterStatus, whole ones

    /// As for the pump: the boundaries between two moves, and what the client takes for its
    /// backend's process id. move_to() has to follow.
    relay_model(std::uint32_t move_every, std::uint32_t client_pid)
        : client_pid_(client_pid), move_every_(move_every), next_move_(move_every) {}

    bool is_parked() const noexcept { return is_parked_; }
    bool is_refused() const noexcept { return is_refused_; }  ///< the client broke the protocol
    bool is_broken() const noexcept { return is_broken_; }    ///< the backend did
    bool is_leaving() const noexcept { return is_leaving_; }  ///< Terminate was passed on
    bool has_left() const noexcept { return has_left_; }      ///< with Terminate, while it waited
    std::uint64_t requests() const noexcept { return requests_; }
    std::uint64_t boundaries() const noexcept { return boundaries_; }
    const protocol::session_state& state() const noexcept { return state_; }
    std::string_view waits() const noexcept { return client_in_; }
    bool is_between_backend_messages() const noexcept {
        return backend_body_ == 0 && backend_in_.empty();
    }

    /// What was read; settle() follows, as it does behind everything else that happens.
    void read_from_client(std::string_view bytes) {
        client_in_.append(bytes);
        take_client();
    }
    void read_from_backend(std::string_view bytes) {
        backend_in_.append(bytes);
        take_backend();
        if (move_every_ != 0 && boundaries_ >= next_move_ && at_boundary()) {
            is_closing_ = true;
        }
        const bool waits_on = is_holding_ && !state_.answers_will_come() && !at_boundary();
        if (is_closing_ && !is_parked_ && waits_on) {
            is_holding_ = false;
            take_client();
        }
    }
    void client_ended() { is_over_ = true; }
    void close() { is_closing_ = true; }
    void open() {
        is_closing_ = false;
        is_parked_ = false;
        next_move_ = boundaries_ + move_every_;
        is_holding_ = false;
        take_client();
    }

    /// Whether the backend's socket has taken all of `to_backend`.
    void settle(bool is_flushed) {
        is_flushed_ = is_flushed;
        if (is_closing_ && !is_parked_ && at_boundary()) {
            is_parked_ = true;
            has_left_ = ends_next_ && !client_in_.empty();
        }
    }
    void move_to(std::uint32_t backend_pid) { backend_pid_ = backend_pid; }

private:
    static constexpr std::size_t header_bytes = 5;
    static constexpr std::string_view from_clients = "QPBDECSHFdcfX";
    static constexpr std::size_t status_bytes_max = 64 * 1024;

    static std::size_t length_at(std::string_view bytes) {
        return protocol::load_u32(protocol::as_bytes(bytes).data() + 1);
    }
    static bool is_valid(std::size_t length) {
        return length >= 4 && length <= protocol::message_bytes_max;
    }
    static void pass(std::string& from, std::string& to, std::size_t n) {
        to.append(from, 0, n);
        from.erase(0, n);
    }

    bool at_boundary() const noexcept {
        return state_.at_boundary() && is_flushed_ && !is_leaving_ && !is_over_ && !is_refused_ &&
               client_body_ == 0 && is_between_backend_messages();
    }

    void take_client() {
        while (!client_in_.empty() && !is_refused_ && !is_over_) {
            if (client_body_ != 0) {
                const std::size_t n = std::min(client_body_, client_in_.size());
                client_body_ -= n;
                pass(client_in_, to_backend, n);
                continue;
            }
            if (client_in_.size() < header_bytes) {
                return;
            }
            const char type = client_in_[0];
            const std::size_t length = length_at(client_in_);
            if (!is_valid(length)) {
                is_refused_ = true;
                return;
            }
            if (is_closing_ && (at_boundary() || state_.answers_will_come())) {
                ends_next_ = type == protocol::frontend::Terminate;
                is_holding_ = true;
                return;
            }
            if (from_clients.find(type) == std::string_view::npos) {
                is_refused_ = true;
                return;
            }
            if (type != protocol::frontend::CopyData) {
                ++requests_;
                state_.on_frontend(static_cast<std::uint8_t>(type));
            }
            is_leaving_ = is_leaving_ || type == protocol::frontend::Terminate;
            pass(client_in_, to_backend, header_bytes);
            client_body_ = length - 4;
        }
    }

    void take_backend() {
        while (!backend_in_.empty() && !is_broken_) {
            if (backend_body_ != 0) {
                const std::size_t n = std::min(backend_body_, backend_in_.size());
                backend_body_ -= n;
                now_.append(backend_in_, 0, n);
                pass(backend_in_, to_client, n);
                note_status();
                continue;
            }
            if (backend_in_.size() < header_bytes) {
                return;
            }
            const std::size_t length = length_at(backend_in_);
            if (!is_valid(length)) {
                is_broken_ = true;
                return;
            }
            if (!take_header(backend_in_[0], length - 4)) {
                return;
            }
        }
    }

    /// False if more of the body has to be there.
    bool take_header(char type, std::size_t body_bytes) {
        const std::size_t wanted = type == protocol::backend::ReadyForQuery          ? 1
                                   : type == protocol::backend::NotificationResponse ? 4
                                                                                     : 0;
        const std::size_t needed = std::min(wanted, body_bytes);
        if (backend_in_.size() < header_bytes + needed) {
            return false;
        }
        if (type == protocol::backend::ReadyForQuery) {
            state_.on_backend(
                static_cast<std::uint8_t>(type), body_bytes == 0 ? 'I' : backend_in_[header_bytes]
            );
            boundaries_ += state_.ready_owed() == 0 ? 1 : 0;
        } else if (type != protocol::backend::DataRow && type != protocol::backend::CopyData) {
            state_.on_backend(static_cast<std::uint8_t>(type));
        }
        if (type == protocol::backend::NotificationResponse && needed == wanted) {
            rename_sender();
        }
        now_type_ = type;
        now_.clear();
        pass(backend_in_, to_client, header_bytes);
        backend_body_ = body_bytes;
        note_status();
        return true;
    }

    /// A client knows its own notifications by the process id in its BackendKeyData.
    void rename_sender() {
        std::string mine;
        protocol::writer out(mine);
        out.i32(static_cast<std::int32_t>(client_pid_));
        if (protocol::load_u32(protocol::as_bytes(backend_in_).data() + header_bytes) ==
            backend_pid_) {
            backend_in_.replace(header_bytes, mine.size(), mine);
        }
    }

    void note_status() {
        if (now_type_ != protocol::backend::ParameterStatus || backend_body_ != 0 ||
            now_.size() > status_bytes_max || now_.empty()) {
            return;
        }
        const std::size_t end = now_.find('\0');
        if (now_.back() == '\0' && end + 1 != now_.size()) {
            statuses.emplace_back(now_.substr(0, end), now_.substr(end + 1, now_.size() - end - 2));
        }
        now_.clear();
    }

    std::string client_in_;   ///< read and not passed on
    std::string backend_in_;  ///< the same; less than a header and what is needed with it
    std::size_t client_body_ = 0;
    std::size_t backend_body_ = 0;
    char now_type_ = 0;  ///< of the backend's message whose body is coming
    std::string now_;
    protocol::session_state state_;
    std::uint32_t client_pid_;
    std::uint32_t backend_pid_ = 0;
    std::uint32_t move_every_;
    std::uint64_t next_move_;
    std::uint64_t requests_ = 0;
    std::uint64_t boundaries_ = 0;
    bool is_flushed_ = true;
    bool is_closing_ = false;
    bool is_parked_ = false;
    bool is_holding_ = false;
    bool is_leaving_ = false;
    bool is_over_ = false;
    bool is_refused_ = false;
    bool is_broken_ = false;
    bool ends_next_ = false;
    bool has_left_ = false;
};

}  // namespace pgsluice::fuzz
