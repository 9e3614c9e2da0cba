// How a session's conversation is followed.
//
//   Query, FunctionCall, Sync   owe one ReadyForQuery each, answered in order
//   Parse Bind Describe Execute Close   leave the session unsynced until the next Sync
//   CopyInResponse              Syncs already forwarded behind the COPY are read and ignored by the
//                               server, so they owe nothing; so are those sent during the COPY
//   ErrorResponse               ends a COPY; in the extended protocol the server then skips up to
//                               the next Sync, which changes no count unless a Query is skipped too
//
// Where the order of two messages that crossed on the wire cannot be known, the state is uncertain
// until the answer to a Query sent with nothing outstanding shows whether a ReadyForQuery was left.

#include "protocol/session_state.hpp"

#include "protocol/errors.hpp"

namespace pgsluice::protocol {

namespace {
constexpr std::size_t word_bits = 64;
}

bool owed_queue::at(std::size_t index) const noexcept {
    const std::size_t bit = head_ + index;
    return more_.empty() ? ((first_ >> bit) & 1U) != 0
                         : ((more_[bit / word_bits] >> (bit % word_bits)) & 1U) != 0;
}

void owed_queue::set(std::size_t index, bool value) noexcept {
    const std::size_t bit = head_ + index;
    std::uint64_t& word = more_.empty() ? first_ : more_[bit / word_bits];
    const std::uint64_t mask = std::uint64_t{1} << (bit % word_bits);
    word = value ? word | mask : word & ~mask;
}

owed_queue::request owed_queue::front() const noexcept { return static_cast<request>(at(0)); }

bool owed_queue::any_query_from(std::size_t index) const noexcept {
    for (std::size_t i = index; i < size_; ++i) {
        if (at(i)) {
            return true;
        }
    }
    return false;
}

void owed_queue::push(request r) {
    const std::size_t end = head_ + size_;
    if (more_.empty() && end == word_bits) {
        if (head_ != 0) {
            first_ >>= head_;
            head_ = 0;
        } else {
            more_.push_back(first_);
        }
    }
    if (!more_.empty() && (head_ + size_) / word_bits == more_.size()) {
        const std::size_t whole = head_ / word_bits;
        more_.erase(more_.begin(), more_.begin() + static_cast<std::ptrdiff_t>(whole));
        head_ -= whole * word_bits;
        more_.push_back(0);
    }
    ++size_;
    set(size_ - 1, r == request::query);
}

void owed_queue::pop() noexcept {
    PGSLUICE_ASSERT(size_ > 0);
    ++head_;
    --size_;
    if (size_ == 0) {
        keep_first(0);
    }
}

void owed_queue::keep_first(std::size_t n) noexcept {
    size_ = n < size_ ? n : size_;
    if (size_ == 0) {
        head_ = 0;
        first_ = 0;
        more_ = {};
    }
}

void session_state::on_request(owed_queue::request r) {
    if (uncertain_ && owed_.empty() && !unsynced_ && r == owed_queue::request::query) {
        resolving_ = true;
    }
    owed_.push(r);
}

void session_state::on_frontend(std::uint8_t type) {
    switch (type) {
    case 'Q':
    case 'F':
        if (copy_in_) {
            uncertain_ = true;
        }
        mixed_ = mixed_ || unsynced_;
        on_request(owed_queue::request::query);
        break;
    case 'S':
        if (copy_in_) {
            ++swallowed_;
        } else {
            unsynced_ = false;
            on_request(owed_queue::request::sync);
        }
        break;
    case 'P':
    case 'B':
    case 'D':
    case 'E':
    case 'C':
        if (copy_in_) {
            uncertain_ = true;
        }
        unsynced_ = true;
        break;
    case 'c':
    case 'f':
        on_copy_end();
        break;
    default:  // CopyData, Flush, PasswordMessage, Terminate: nothing is owed for them
        break;
    }
}

void session_state::on_copy_end() noexcept {
    if (copy_in_) {
        copy_in_ = false;
    } else if (!owed_.empty() || unsynced_) {
        // Sent before CopyInResponse was seen. Syncs between the COPY and here are swallowed, and
        // cannot be told apart from those of earlier requests.
        early_copy_end_ = true;
        if (owed_.size() > 1) {
            uncertain_ = true;
        }
    }
}

void session_state::on_copy_in_response() noexcept {
    if (early_copy_end_) {
        early_copy_end_ = false;
        return;
    }
    copy_in_ = true;
    const bool simple = !owed_.empty() && owed_.front() == owed_queue::request::query;
    const std::size_t kept = simple ? 1 : 0;
    if (owed_.any_query_from(kept)) {
        uncertain_ = true;
        return;
    }
    swallowed_ += static_cast<std::uint32_t>(owed_.size() - kept);
    owed_.keep_first(kept);
    unsynced_ = unsynced_ || !simple;
}

void session_state::on_error() noexcept {
    if (mixed_ || swallowed_ > 0) {
        uncertain_ = true;
    }
    copy_in_ = false;
    swallowed_ = 0;
    early_copy_end_ = false;
}

void session_state::on_ready(char status) noexcept {
    status_ = status;
    copy_in_ = false;
    copy_both_ = false;
    swallowed_ = 0;
    early_copy_end_ = false;
    if (resolving_) {
        return;  // left over from before the Query that is to tell
    }
    if (owed_.empty()) {
        uncertain_ = true;
        return;
    }
    owed_.pop();
    mixed_ = mixed_ && !owed_.empty();
}

void session_state::on_backend(std::uint8_t type, char status) noexcept {
    switch (type) {
    case 'Z':
        on_ready(status);
        return;
    case 'N':
    case 'S':
    case 'A':  // may come at any time and answer nothing
        return;
    case 'E':
        on_error();
        break;
    case 'G':
        on_copy_in_response();
        break;
    case 'W':
        copy_both_ = true;
        break;
    case 'C':
        swallowed_ = 0;
        break;
    default:
        break;
    }
    if (resolving_) {
        resolving_ = false;
        uncertain_ = mixed_;
    }
}

}  // namespace pgsluice::protocol
