#pragma once

#include "protocol/conversation/pending_queue.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>

namespace pgsluice::protocol {

/// Follows one session's conversation by message types alone and knows when it is at a boundary:
/// no open transaction, no unanswered request, no COPY ("Message Flow" and "COPY Operations",
/// chapter "Frontend/Backend Protocol"; behaviour in corners read from tcop/postgres.c and
/// commands/copyfromparse.c).
///
/// Call on_frontend() for every message header forwarded to the backend and on_backend() for every
/// one received from it, each direction in order; CopyData and DataRow may be left out. Never fails
/// and never throws for wire input: what it cannot follow makes it `uncertain`, which only means
/// that it will not claim a boundary.
class session_state {
public:
    /// Status byte of ReadyForQuery: 'I' idle, 'T' in a transaction block, 'E' in a failed one.
    char transaction_status() const noexcept { return status_; }

    /// The one boundary function. (Half forwarded messages are the frame cursors' knowledge.)
    bool at_boundary() const noexcept {
        return pending_.empty() && status_ == 'I' && !in_copy() && !uncertain();
    }

    /// The client's next message may wait here without stopping what is under way: every request so
    /// far is complete and at least one answer is still to come, after which this is asked again.
    bool answers_will_come() const noexcept;

    bool in_copy() const noexcept { return copy_in_ || copy_both_; }

    /// Further ReadyForQuery may or may not be on their way. Where that comes from a COPY that
    /// failed (see session_state.cpp), the answer to the next Query or extended message settles it;
    /// where the client broke the rules of the protocol it stays.
    bool uncertain() const noexcept { return doubtful_ != 0 || lost_; }

    /// Requests whose ReadyForQuery has not come.
    std::size_t ready_owed() const noexcept { return pending_.requests(); }

    /// The type byte of a message that is being forwarded.
    void on_frontend(std::uint8_t type);

    /// `status` is the body of ReadyForQuery and ignored for every other type.
    void on_backend(std::uint8_t type, char status = 'I') noexcept;

private:
    using item = pending_queue::item;
    enum class discarding : std::uint8_t { no, maybe, yes };
    static constexpr std::size_t nowhere = std::numeric_limits<std::size_t>::max();

    void on_query();
    void on_extended();
    void on_sync();
    void on_copy_end();
    void on_ready(char status) noexcept;
    void on_copy_in_response() noexcept;
    void on_command_complete() noexcept;
    void on_error() noexcept;
    void on_request_with_answer() noexcept;
    void doubt_swallowed() noexcept;
    std::size_t first_request() const noexcept;

    pending_queue pending_;
    std::size_t clear_at_ = nowhere;  ///< requests before the one whose answer ends all doubt
    std::uint32_t swallowed_ = 0;  ///< Syncs that the COPY FROM STDIN under way reads and ignores
    std::uint32_t doubtful_ = 0;   ///< Syncs that a failed COPY may have left to be answered
    char status_ = 'I';
    discarding discarding_ = discarding::no;  ///< by the server, up to a Sync not forwarded yet
    bool copy_in_ = false;                    ///< the client's CopyDone is still to come
    bool copy_both_ = false;
    bool lost_ = false;  ///< how many answers are owed cannot be known any more
};

}  // namespace pgsluice::protocol
