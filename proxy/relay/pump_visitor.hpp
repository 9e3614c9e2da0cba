#pragma once

// What the pump does at each message header. Only pump.cpp includes this.

#include "protocol/wire/message_types.hpp"
#include "proxy/relay/pump.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <ctime>
#include <string>

namespace pgsluice::proxy {

inline constexpr std::uint32_t status_bytes_max =
    64 * 1024;  // a longer ParameterStatus is not recorded

/// The clock that a vDSO call reads in some five nanoseconds, milliseconds coarse.
inline steady_time coarse_now() noexcept {
    timespec t{};
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return steady_time(std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec));
}

constexpr std::array<bool, 256> relayed_frontend_types() {
    std::array<bool, 256> valid{};
    for (const char type : {'Q', 'P', 'B', 'D', 'E', 'C', 'S', 'H', 'F', 'd', 'c', 'f', 'X'}) {
        valid[static_cast<std::uint8_t>(type)] = true;
    }
    return valid;
}
inline constexpr auto relayed = relayed_frontend_types();

/// Looks at the client's messages: may this one go on, and what does it tell?
struct pump::client_visitor {
    pump& p;
    bool stopped = false;
    int bad_type = -1;

    static std::size_t prefix(std::uint8_t) noexcept { return 0; }

    bool on_message(const protocol::frame_cursor::message& m) {
        auto& state = p.state_;
        if (p.closing_ && (p.at_boundary() || state.answers_will_come())) [[unlikely]] {
            p.terminate_ = m.type == 'X';
            stopped = true;
            return false;
        }
        if (!relayed[m.type]) [[unlikely]] {
            bad_type = m.type;
            return false;
        }
        if (m.type == 'd') {
            return true;
        }
        if (state.at_boundary()) {
            p.since_ = coarse_now();
        }
        ++p.requests_;
        if (p.load_) [[unlikely]] {
            p.load_->on_request();
        }
        state.on_frontend(m.type);
        if (m.type == 'Q' || m.type == 'P' || (m.type == 'B' && p.tap_.wants_bind())) {
            p.tap_.on_message(m);
        } else if (m.type == 'X') {
            p.terminate_ = true;
            p.leaving_ = true;
        }
        return true;
    }

    void on_body(byte_view part) {
        if (p.tap_.gathering()) {
            p.tap_.on_body(part);
        }
    }
};

/// Looks at the backend's messages. `bytes` is what is being scanned, to be rewritten in place.
struct pump::backend_visitor {
    pump& p;
    std::span<std::uint8_t> bytes;

    static std::size_t prefix(std::uint8_t type) noexcept {
        return type == 'Z' ? 1 : type == 'A' ? 4 : 0;
    }

    bool on_message(const protocol::frame_cursor::message& m) {
        switch (m.type) {
        case 'D':
        case 'd':
            break;
        case 'Z':
            on_ready(static_cast<char>(m.body_so_far.empty() ? 'I' : m.body_so_far[0]));
            break;
        case '1':
            p.tap_.on_parse_complete();
            p.state_.on_backend(m.type);
            break;
        case 'E':
            p.error_last_ = true;
            if (p.load_) {
                p.load_->on_error(m.body_so_far);
            }
            p.tap_.on_error();
            p.state_.on_backend(m.type);
            break;
        case 'C':
            if (p.tap_.wants_tag()) {
                const auto* tag = reinterpret_cast<const char*>(m.body_so_far.data());
                p.tap_.on_tag({tag, m.body_so_far.size()});
            }
            p.state_.on_backend(m.type);
            break;
        case 'A':
            rewrite_pid(m);
            break;
        case 'S':
            gather_status(m);
            break;
        default:
            p.state_.on_backend(m.type);
            break;
        }
        return true;
    }

    void on_ready(char status) {
        ++p.counted_.queries;
        if (p.state_.transaction_status() == 'I' || status == 'I') {
            const steady_time now = coarse_now();
            if (status == 'I') {
                ++p.counted_.transactions;
                p.counted_.working += now - p.since_;
                p.recent_work_ = std::max(now - p.since_, p.recent_work_ / 2);
            }
            p.since_ = now;
        }
        p.state_.on_backend('Z', status);
        p.error_last_ = false;
        if (p.load_) [[unlikely]] {
            p.load_->on_ready(p.state_.ready_owed() != 0);
        }
        if (p.state_.ready_owed() == 0) {
            p.tap_.on_quiet();
            ++p.boundaries_;
        }
    }

    /// A client knows its own notifications by the process id in its BackendKeyData.
    void rewrite_pid(const protocol::frame_cursor::message& m) const {
        if (p.backend_pid_ == p.client_pid_ || m.body_so_far.size() < 4) {
            return;
        }
        std::uint8_t* at = bytes.data() + m.offset + protocol::frame_cursor::header_bytes;
        const auto theirs = __builtin_bswap32(static_cast<std::uint32_t>(p.backend_pid_));
        const auto ours = __builtin_bswap32(static_cast<std::uint32_t>(p.client_pid_));
        if (std::memcmp(at, &theirs, sizeof theirs) == 0) {
            std::memcpy(at, &ours, sizeof ours);
        }
    }

    void gather_status(const protocol::frame_cursor::message& m) {
        p.status_body_.assign(m.body_so_far.begin(), m.body_so_far.end());
        p.status_remaining_ = m.body_bytes - static_cast<std::uint32_t>(m.body_so_far.size());
        if (m.body_bytes > status_bytes_max) {
            p.status_remaining_ = 0;
        } else if (p.status_remaining_ == 0) {
            report_status();
        }
    }

    void on_body(byte_view part) {
        if (p.status_remaining_ == 0) {
            return;
        }
        p.status_body_.insert(p.status_body_.end(), part.begin(), part.end());
        p.status_remaining_ -= static_cast<std::uint32_t>(part.size());
        if (p.status_remaining_ == 0) {
            report_status();
        }
    }

    void report_status() {
        const auto& body = p.status_body_;
        const auto name_end = std::find(body.begin(), body.end(), std::uint8_t{0});
        if (name_end == body.end() || body.back() != 0 || name_end + 1 == body.end()) {
            return;
        }
        const char* text = reinterpret_cast<const char*>(body.data());
        const auto name_bytes = static_cast<std::size_t>(name_end - body.begin());
        p.owner_.on_parameter_status(
            {text, name_bytes}, {text + name_bytes + 1, body.size() - name_bytes - 2}
        );
    }
};

}  // namespace pgsluice::proxy
