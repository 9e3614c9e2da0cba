#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pgsluice::protocol {

/// What was forwarded to a backend and not answered yet, oldest first, as far as ReadyForQuery is
/// concerned. 32 items fit without allocation; a client that pipelines deeper costs two bits an
/// item.
class pending_queue {
public:
    enum class item : std::uint8_t {
        sync,      ///< Sync: one ReadyForQuery
        query,     ///< Query or FunctionCall: answers and one ReadyForQuery
        extended,  ///< one or more of Parse, Bind, Describe, Execute, Close in a row
        copy_end,  ///< CopyDone or CopyFail, where it is not known whether a COPY reads it
    };

    bool empty() const noexcept { return size_ == 0; }
    std::size_t size() const noexcept { return size_; }

    /// How many of the items are Sync or query.
    std::size_t requests() const noexcept { return requests_; }

    /// `index` is less than size().
    item operator[](std::size_t index) const noexcept;

    void push(item what);

    /// Removes the `count` oldest items; `count` is at most size().
    void drop_front(std::size_t count) noexcept;

    /// Removes the `count` oldest items behind the first one; `count` is less than size().
    void drop_behind_front(std::size_t count) noexcept;

    void clear() noexcept { drop_front(size_); }

private:
    void set(std::size_t index, item what) noexcept;

    std::uint64_t first_ = 0;          ///< two bits an item, while there are at most 32
    std::vector<std::uint64_t> more_;  ///< all items, once there were more
    std::size_t head_ = 0;             ///< where the oldest item is, in items
    std::size_t size_ = 0;
    std::size_t requests_ = 0;
};

}  // namespace pgsluice::protocol
