#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pgsluice::protocol {

/// The requests a backend still owes a ReadyForQuery for, oldest first. 64 fit without allocation;
/// a client that pipelines deeper costs one bit a request.
class owed_queue {
public:
    enum class request : bool { sync = false, query = true };

    bool empty() const noexcept { return size_ == 0; }
    std::size_t size() const noexcept { return size_; }
    request front() const noexcept;
    bool any_query_from(std::size_t index) const noexcept;
    void push(request r);
    void pop() noexcept;
    void keep_first(std::size_t n) noexcept;

private:
    bool at(std::size_t index) const noexcept;
    void set(std::size_t index, bool value) noexcept;

    std::uint64_t first_ = 0;          ///< bits of the first 64 requests, relative to head_
    std::vector<std::uint64_t> more_;  ///< all bits, once there were more than 64
    std::size_t head_ = 0;
    std::size_t size_ = 0;
};

/// Follows one session's conversation by message types alone and knows when it is at a boundary:
/// no open transaction, no unanswered request, no COPY ("Message Flow" and "COPY Operations",
/// chapter "Frontend/Backend Protocol"; behaviour in corners read from tcop/postgres.c).
///
/// Call on_frontend() for every message header forwarded to the backend and on_backend() for every
/// one received from it, each direction in order. Never fails and never throws for wire input: what
/// it cannot follow makes it `uncertain`, which only means that it will not claim a boundary.
class session_state {
public:
    /// Status byte of ReadyForQuery: 'I' idle, 'T' in a transaction block, 'E' in a failed one.
    char transaction_status() const noexcept { return status_; }

    /// The one boundary function. (Half forwarded messages are the frame cursors' knowledge.)
    bool at_boundary() const noexcept {
        return owed_.empty() && !unsynced_ && status_ == 'I' && !in_copy() && !uncertain_;
    }

    /// The client's next message may wait here without stopping what is under way: every request so
    /// far is complete and at least one answer is still to come, after which this is asked again.
    bool answers_will_come() const noexcept {
        return !owed_.empty() && !unsynced_ && !in_copy() && !uncertain_;
    }

    bool in_copy() const noexcept { return copy_in_ || copy_both_; }
    bool uncertain() const noexcept { return uncertain_; }
    std::size_t ready_owed() const noexcept { return owed_.size(); }

    /// Not zero-cost to get wrong: the type byte of a message that is being forwarded.
    void on_frontend(std::uint8_t type);

    /// `status` is the body of ReadyForQuery and ignored for every other type.
    void on_backend(std::uint8_t type, char status = 'I') noexcept;

private:
    void on_request(owed_queue::request r);
    void on_copy_end() noexcept;
    void on_copy_in_response() noexcept;
    void on_error() noexcept;
    void on_ready(char status) noexcept;

    owed_queue owed_;
    std::uint32_t swallowed_ = 0;  ///< Syncs that a COPY FROM STDIN under way reads and ignores
    char status_ = 'I';
    bool unsynced_ = false;   ///< extended-protocol messages since the last Sync
    bool mixed_ = false;      ///< a Query followed extended messages without a Sync between them
    bool copy_in_ = false;
    bool copy_both_ = false;
    bool early_copy_end_ = false;  ///< CopyDone or CopyFail went out before CopyInResponse came in
    bool uncertain_ = false;       ///< a further ReadyForQuery may or may not be on its way
    bool resolving_ = false;       ///< uncertain, and the answer to a fresh Query will tell
};

}  // namespace pgsluice::protocol
