// How a session's conversation is followed. `pending_` holds, in order, what the server has not
// answered yet:
//
//   Query, FunctionCall, Sync   owe one ReadyForQuery each
//   Parse Bind Describe Execute Close   have their answers with the next of those
//   ErrorResponse   to one of these: the server discards everything up to the next Sync, Queries
//   too CopyInResponse  the server reads on by itself and ignores Syncs up to CopyDone, CopyFail or
//   an
//                   error of its own; what was sent before the response was seen counts as well
//
// One thing cannot be known: how far a COPY that failed had read. The Syncs it should have
// swallowed are `doubtful` then: each may still be answered. The next request that has more of an
// answer than ReadyForQuery settles it, because that answer comes behind all doubtful ones.

#include "protocol/conversation/session_state.hpp"

#include "protocol/wire/message_types.hpp"

namespace pgsluice::protocol {

bool session_state::answers_will_come() const noexcept {
    if (pending_.empty() || in_copy() || uncertain()) {
        return false;
    }
    const item last = pending_[pending_.size() - 1];
    return last == item::sync || last == item::query;
}

void session_state::on_frontend(std::uint8_t type) {
    switch (type) {
    case frontend::Query:
    case frontend::FunctionCall:
        on_query();
        break;
    case frontend::Parse:
    case frontend::Bind:
    case frontend::Describe:
    case frontend::Execute:
    case frontend::Close:
        on_extended();
        break;
    case frontend::Sync:
        on_sync();
        break;
    case frontend::CopyDone:
    case frontend::CopyFail:
        on_copy_end();
        break;
    default:  // CopyData, Flush, PasswordMessage, Terminate: nothing is owed for them
        break;
    }
}

void session_state::on_request_with_answer() noexcept {
    copy_in_ = false;  // either the server has ended the COPY already or it will end the session
    lost_ = lost_ || discarding_ == discarding::maybe;
    if (doubtful_ != 0 && clear_at_ == nowhere) {
        clear_at_ = pending_.requests();
    }
}

void session_state::on_query() {
    if (discarding_ == discarding::yes) {
        return;
    }
    on_request_with_answer();
    pending_.push(item::query);
}

void session_state::on_extended() {
    if (discarding_ == discarding::yes) {
        return;
    }
    // The item of a COPY stays alone: what comes behind it has another fate when it fails.
    const bool of_copy = pending_.size() == 1 && (copy_in_ || swallowed_ != 0);
    const bool in_a_row =
        !pending_.empty() && pending_[pending_.size() - 1] == item::extended && !of_copy;
    on_request_with_answer();
    if (!in_a_row) {
        pending_.push(item::extended);
    }
}

void session_state::on_sync() {
    if (copy_in_) {
        ++swallowed_;
        return;
    }
    discarding_ = discarding::no;
    pending_.push(item::sync);
}

void session_state::on_copy_end() {
    if (copy_in_) {
        copy_in_ = false;
    } else if (!pending_.empty()) {  // perhaps of a COPY whose response is on its way
        pending_.push(item::copy_end);
    }
}

void session_state::on_backend(std::uint8_t type, char status) noexcept {
    switch (type) {
    case backend::ReadyForQuery:
        on_ready(status);
        return;
    case backend::NoticeResponse:
    case backend::ParameterStatus:
    case backend::NotificationResponse:  // may come at any time and answer nothing
        return;
    default:
        break;
    }
    if (clear_at_ == 0) {
        clear_at_ = nowhere;
        doubtful_ = 0;
    }
    switch (type) {
    case backend::ErrorResponse:
        on_error();
        break;
    case backend::CopyInResponse:
        on_copy_in_response();
        break;
    case backend::CopyBothResponse:
        copy_both_ = true;
        break;
    case backend::CommandComplete:
        on_command_complete();
        break;
    default:
        break;
    }
}

std::size_t session_state::first_request() const noexcept {
    std::size_t at = 0;
    while (at < pending_.size() && pending_[at] != item::sync && pending_[at] != item::query) {
        ++at;
    }
    return at;
}

void session_state::on_ready(char status) noexcept {
    status_ = status;
    copy_in_ = false;
    copy_both_ = false;
    lost_ = lost_ || swallowed_ != 0;  // no COPY ends without CommandComplete or ErrorResponse
    swallowed_ = 0;
    if (clear_at_ != 0 && pending_.requests() != 0) {
        pending_.drop_front(first_request() + 1);
        while (!pending_.empty() && pending_[0] == item::copy_end) {
            pending_.drop_front(1);  // read outside of any COPY, which means nothing
        }
        clear_at_ -= clear_at_ != nowhere ? 1 : 0;
        return;
    }
    if (doubtful_ == 0) {
        lost_ = true;  // nobody asked for it
        return;
    }
    --doubtful_;
    discarding_ = discarding::no;
    if (clear_at_ == nowhere) {
        pending_.clear();  // what is left is of the COPY that failed
    } else if (doubtful_ == 0) {
        clear_at_ = nowhere;
    }
}

void session_state::on_copy_in_response() noexcept {
    // The server has answered everything in front of the command that this is the response to.
    if (pending_.size() > 1 && pending_[0] == item::extended && pending_[1] == item::query) {
        pending_.drop_front(1
        );  // had the former started the COPY, the latter would end the session
    }
    if (pending_.empty() || pending_[0] == item::sync) {
        lost_ = true;
        return;
    }
    std::size_t behind = 1;
    while (behind < pending_.size() && pending_[behind] == item::sync) {
        ++behind;
    }
    swallowed_ += static_cast<std::uint32_t>(behind - 1);
    copy_in_ = behind == pending_.size();
    const bool ended = !copy_in_ && pending_[behind] == item::copy_end;
    pending_.drop_behind_front(ended ? behind : behind - 1);
}

void session_state::on_command_complete() noexcept {
    lost_ = lost_ || (copy_in_ && swallowed_ != 0);  // a CopyDone that was taken for another's
    copy_in_ = false;
    swallowed_ = 0;
}

void session_state::on_error() noexcept {
    if (swallowed_ != 0) {
        doubt_swallowed();
    }
    copy_in_ = false;
    if (pending_.empty() || pending_[0] != item::extended) {
        return;
    }
    const std::size_t at = first_request();
    if (at == pending_.size()) {
        discarding_ = doubtful_ == 0 ? discarding::yes : discarding::maybe;
    } else if (pending_[at] == item::query) {
        lost_ = true;  // this failed, or something in front of it did and it is discarded
    }
}

/// The COPY has failed that should have swallowed Syncs. Finds the request that will tell.
void session_state::doubt_swallowed() noexcept {
    doubtful_ += swallowed_;
    swallowed_ = 0;
    std::size_t requests = pending_[0] == item::query ? 1 : 0;
    for (std::size_t at = 1; at < pending_.size() && clear_at_ == nowhere; ++at) {
        const bool with_answer = pending_[at] == item::query || pending_[at] == item::extended;
        if (with_answer) {
            clear_at_ = requests;
            lost_ = lost_ || requests == 0;  // discarded, unless a doubtful Sync stops that
        }
        requests += pending_[at] == item::sync ? 1 : 0;
    }
}

}  // namespace pgsluice::protocol
