// The hot path, one direction a function pair:
//
//   on_client  -> read_client  -> take_from_client  -> send_to_backend
//   on_backend -> read_backend -> take_from_backend -> send_to_client -> after_backend
//
// Every pump of a worker reads into the worker's one scratch buffer; what a socket does not take at
// once is copied aside and the other side is not read until it is gone, so that a session holds at
// most one scratch buffer's worth a direction, whatever its peers do. There is no lock, timer, log
// or allocation a message here; the clock is the coarse one and read when a transaction begins.

#include "proxy/relay/pump.hpp"

#include "protocol/errors.hpp"
#include "protocol/wire/message_types.hpp"
#include "proxy/relay/pump_visitor.hpp"

#include <algorithm>
#include <array>
#include <ctime>

namespace pgsluice::proxy {

namespace {

constexpr std::size_t kept_capacity_max = 4096;  // bigger buffers are given back when empty

void empty(std::vector<std::uint8_t>& buffer) {
    if (buffer.capacity() > kept_capacity_max) {
        buffer = {};
    } else {
        buffer.clear();
    }
}

}  // namespace

pump::pump(stream& client, std::span<std::uint8_t> scratch, pump_owner& owner, name_listener& names)
    : client_(client), scratch_(scratch), owner_(owner), client_side_(*this, &pump::on_client),
      backend_side_(*this, &pump::on_backend), tap_(names) {}

void pump::start(stream& backend, std::int32_t client_pid, std::int32_t backend_pid) {
    backend_ = &backend;
    client_pid_ = client_pid;
    backend_pid_ = backend_pid;
    running_ = true;
    next_move_ = boundaries_ + move_every_;
    since_ = coarse_now();
    set_interest();
    if (closing_) {
        park();
    } else if (!held_.empty()) {
        feed_held();
    }
}

void pump::stop() noexcept {
    running_ = false;
    client_.unwatch();
    if (backend_ != nullptr && !lent_) {
        backend_->unwatch();
    }
}

bool pump::at_boundary() const noexcept {
    return state_.at_boundary() && !leaving_ && !client_eof_ && from_client_.between_messages() &&
           to_backend_.empty() && !is_inside_backend_message();
}

void pump::close() {
    closing_ = true;
    if (running_ && !parked_ && at_boundary()) {
        park();
    }
}

void pump::open() {
    PGSLUICE_ASSERT(!lent_);
    closing_ = false;
    parked_ = false;
    client_waits_ = false;
    client_seen_ = false;
    next_move_ = boundaries_ + move_every_;
    if (!running_) {
        return;
    }
    if (!held_.empty()) {
        feed_held();
    }
    set_interest();
}

void pump::park() {
    parked_ = true;
    since_ = coarse_now();
    if (terminate_ && !held_.empty()) {
        finish(pump_end::client_gone);
        return;
    }
    set_interest();
    owner_.on_parked();
    if (!held_.empty()) {
        owner_.on_client_waits();
    }
}

void pump::lend_backend() noexcept {
    PGSLUICE_ASSERT(parked_ && !lent_);
    lent_ = true;
    backend_->unwatch();
}

void pump::give_back(stream& backend, std::int32_t backend_pid) {
    PGSLUICE_ASSERT(lent_);
    lent_ = false;
    backend_ = &backend;
    backend_pid_ = backend_pid;
    if (running_) {
        set_interest();
    }
}

void pump::tell_client(byte_view bytes) {
    send_to_client(bytes);
}

void pump::feed_backend(byte_view bytes) {
    PGSLUICE_ASSERT(bytes.size() <= scratch_.size());
    std::copy(bytes.begin(), bytes.end(), scratch_.begin());
    take_from_backend(scratch_.first(bytes.size()));
}

void pump::on_client(std::uint32_t events) {
    if ((events & EPOLLOUT) != 0) {
        flush(client_, to_client_, pump_end::client_gone);
    }
    if (end_ != pump_end::none) {
        return;
    }
    if ((events & (EPOLLIN | EPOLLRDHUP)) != 0) {
        if (parked_) {
            look_at_parked_client();
        } else {
            read_client();
        }
    } else if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
        finish(pump_end::client_gone);
    }
}

void pump::read_client() {
    if (guard_) [[unlikely]] {
        read_guarded_client();
        return;
    }
    const std::size_t kept = held_.size();
    std::copy(held_.begin(), held_.end(), scratch_.begin());
    const io_result r = client_.recv(scratch_.subspan(kept));
    if (r.done()) {
        counted_.received_bytes += r.bytes;
        take_from_client(scratch_.first(kept + r.bytes));
        if (terminate_) {
            set_interest();
        }
    } else if (r.what == io_result::status::end) {
        client_finished();
    } else if (r.over()) {
        finish(pump_end::client_gone);
    }
}

void pump::look_at_parked_client() {
    std::array<std::uint8_t, 1> first{};
    const io_result r = client_.peek(first);
    if (r.again()) {
        return;
    }
    if (r.over() || (first[0] == 'X' && held_.empty())) {
        finish(pump_end::client_gone);
        return;
    }
    // What is there is left in the kernel. A second look, for a hang-up, would find the same bytes.
    client_seen_ = client_waits_;
    const bool first_bytes = !waits();
    client_waits_ = true;
    set_interest();
    if (first_bytes) {
        owner_.on_client_waits();
    }
}

void pump::take_from_client(std::span<std::uint8_t> bytes) {
    client_visitor visitor{*this};
    const std::size_t used = from_client_.scan(bytes, visitor);
    if (used > 0) {
        send_to_backend(bytes.first(used));
    }
    if (from_client_.broken() || visitor.bad_type >= 0) {
        violation_ = from_client_.broken()
                         ? "invalid message length"
                         : "invalid frontend message type " + std::to_string(visitor.bad_type);
        empty(held_);
        client_finished();  // what came before is answered first, as by the server itself
        return;
    }
    if (used == bytes.size()) {
        empty(held_);
    } else {
        held_.assign(bytes.begin() + static_cast<std::ptrdiff_t>(used), bytes.end());
    }
    if (closing_) [[unlikely]] {
        holding_ = holding_ || visitor.stopped;
        if (at_boundary() && !parked_) {
            park();
        } else {
            set_interest();
        }
    }
}

void pump::feed_held() {
    holding_ = false;
    if (guard_) [[unlikely]] {
        drive_guard();
        return;
    }
    const std::size_t kept = held_.size();
    std::copy(held_.begin(), held_.end(), scratch_.begin());
    take_from_client(scratch_.first(kept));
    if (end_ == pump_end::none) {
        set_interest();
    }
}

void pump::on_backend(std::uint32_t events) {
    if ((events & EPOLLOUT) != 0) {
        flush(*backend_, to_backend_, pump_end::none);
    }
    if (end_ == pump_end::none && (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0) {
        read_backend();
    }
}

void pump::read_backend() {
    const std::size_t kept = backend_leftover_.size();
    std::copy(backend_leftover_.begin(), backend_leftover_.end(), scratch_.begin());
    const io_result r = backend_->recv(scratch_.subspan(kept));
    if (r.done()) {
        take_from_backend(scratch_.first(kept + r.bytes));
    } else if (r.over()) {
        backend_finished();
    }
}

void pump::take_from_backend(std::span<std::uint8_t> bytes) {
    if (guard_) [[unlikely]] {
        take_guarded_backend(bytes);
        return;
    }
    backend_visitor visitor{*this, bytes};
    const std::size_t used = from_backend_.scan(bytes, visitor);
    if (used == bytes.size()) {
        backend_leftover_.clear();
    } else {
        backend_leftover_.assign(bytes.begin() + static_cast<std::ptrdiff_t>(used), bytes.end());
    }
    if (used > 0) {
        send_to_client(bytes.first(used));
    }
    if (from_backend_.broken()) {
        backend_finished();
    }
    if (end_ == pump_end::none) {
        after_backend();
    }
}

void pump::after_backend() {
    if (move_every_ != 0 && boundaries_ >= next_move_ && at_boundary()) [[unlikely]] {
        closing_ = true;
    }
    if (!closing_) [[likely]] {
        return;
    }
    if (parked_) {
        if (!is_inside_backend_message()) {
            owner_.on_parked();  // it may have waited for the rest of a message
        }
    } else if (at_boundary()) {
        park();
    } else if (holding_ && !state_.answers_will_come()) {
        feed_held();
    }
}

void pump::send_to_backend(byte_view bytes) {
    if (to_backend_.empty()) {
        const io_result r = backend_->send(bytes);
        if (r.over()) {
            return;  // what it said before it went is still to be read, and says why
        }
        bytes = bytes.subspan(r.bytes);
        if (bytes.empty()) [[likely]] {
            return;
        }
    }
    to_backend_.insert(to_backend_.end(), bytes.begin(), bytes.end());
    set_interest();
}

void pump::send_to_client(byte_view bytes) {
    counted_.sent_bytes += bytes.size();
    if (to_client_.empty()) {
        const io_result r = client_.send(bytes);
        if (r.over()) {
            finish(pump_end::client_gone);
            return;
        }
        bytes = bytes.subspan(r.bytes);
        if (bytes.empty()) [[likely]] {
            return;
        }
    }
    to_client_.insert(to_client_.end(), bytes.begin(), bytes.end());
    if (running_) {
        set_interest();
    }
}

void pump::flush(stream& to, std::vector<std::uint8_t>& pending, pump_end if_gone) {
    const io_result r = to.send(pending);
    if (r.over()) {
        empty(pending);
        if (if_gone != pump_end::none) {
            finish(if_gone);
            return;
        }
    }
    pending.erase(pending.begin(), pending.begin() + static_cast<std::ptrdiff_t>(r.bytes));
    if (pending.empty()) {
        empty(pending);
        if (&to == backend_ && client_eof_ && !parked_ && !guard_) {
            backend_->shutdown_send();
        }
        if (&to == &client_ && backend_eof_) {
            finish(why_backend_went());
            return;
        }
        if (closing_ && !parked_ && at_boundary()) {
            park();
            return;
        }
    }
    set_interest();
}

void pump::client_finished() {
    client_eof_ = true;
    if (to_backend_.empty()) {
        backend_->shutdown_send();
    }
    set_interest();
}

void pump::backend_finished() {
    backend_eof_ = true;
    if (to_client_.empty()) {
        finish(why_backend_went());
    } else {
        set_interest();
    }
}

pump_end pump::why_backend_went() const noexcept {
    if (!violation_.empty()) {
        return pump_end::client_violation;
    }
    return client_eof_ || terminate_ ? pump_end::client_gone : pump_end::backend_gone;
}

void pump::finish(pump_end why) {
    if (end_ != pump_end::none) {
        return;
    }
    end_ = why;
    stop();
    owner_.on_pump_end();
}

void pump::set_interest() {
    if (!running_) {
        return;
    }
    std::uint32_t from_client = 0;
    if (parked_) {
        from_client = client_seen_ ? 0U : waits() ? EPOLLRDHUP : EPOLLIN;
    } else if (!client_eof_ && !terminate_ && !holding_ && to_backend_.empty()) {
        from_client = EPOLLIN;
    }
    client_.watch(from_client | (to_client_.empty() ? 0U : EPOLLOUT), &client_side_);
    if (!lent_) {
        const bool read = !backend_eof_ && to_client_.empty();
        const std::uint32_t from_backend =
            (read ? EPOLLIN : 0U) | (backend_eof_ || to_backend_.empty() ? 0U : EPOLLOUT);
        if (from_backend == 0) {
            backend_->unwatch();  // epoll reports a hang-up whether it is asked for or not
        } else {
            backend_->watch(from_backend, &backend_side_);
        }
    }
}

}  // namespace pgsluice::proxy
