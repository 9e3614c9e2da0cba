// Two bits an item: up to 32 items in one word, else all of them in a vector of words.

#include "protocol/conversation/pending_queue.hpp"

#include "protocol/errors.hpp"

namespace pgsluice::protocol {

namespace {

constexpr std::size_t item_bits = 2;
constexpr std::size_t word_items = 64 / item_bits;

bool is_request(pending_queue::item what) noexcept {
    return what == pending_queue::item::sync || what == pending_queue::item::query;
}

}  // namespace

pending_queue::item pending_queue::operator[](std::size_t index) const noexcept {
    PGSLUICE_ASSERT(index < size_);
    const std::size_t at = head_ + index;
    const std::uint64_t word = more_.empty() ? first_ : more_[at / word_items];
    return static_cast<item>((word >> (at % word_items * item_bits)) & 3U);
}

void pending_queue::set(std::size_t index, item what) noexcept {
    const std::size_t at = head_ + index;
    std::uint64_t& word = more_.empty() ? first_ : more_[at / word_items];
    const std::size_t shift = at % word_items * item_bits;
    word = (word & ~(std::uint64_t{3} << shift)) | (static_cast<std::uint64_t>(what) << shift);
}

void pending_queue::push(item what) {
    if (more_.empty() && head_ + size_ == word_items) {
        if (head_ != 0) {
            first_ >>= head_ * item_bits;
            head_ = 0;
        } else {
            more_.push_back(first_);
        }
    }
    if (!more_.empty() && (head_ + size_) / word_items == more_.size()) {
        const std::size_t whole = head_ / word_items;
        more_.erase(more_.begin(), more_.begin() + static_cast<std::ptrdiff_t>(whole));
        head_ -= whole * word_items;
        more_.push_back(0);
    }
    ++size_;
    requests_ += is_request(what) ? 1 : 0;
    set(size_ - 1, what);
}

void pending_queue::drop_front(std::size_t count) noexcept {
    PGSLUICE_ASSERT(count <= size_);
    for (; count != 0; --count) {
        requests_ -= is_request((*this)[0]) ? 1 : 0;
        ++head_;
        --size_;
    }
    if (size_ == 0) {
        head_ = 0;
        first_ = 0;
        more_ = {};
    }
}

void pending_queue::drop_behind_front(std::size_t count) noexcept {
    PGSLUICE_ASSERT(count < size_);
    if (count == 0) {
        return;
    }
    // The last item to go becomes the front one, and all before it go.
    const item front = (*this)[0];
    requests_ -= is_request((*this)[count]) ? 1 : 0;
    requests_ += is_request(front) ? 1 : 0;
    set(count, front);
    drop_front(count);
}

}  // namespace pgsluice::protocol
