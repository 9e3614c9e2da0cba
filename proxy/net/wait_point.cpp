// Waiting: what of it does not depend on the handler.
//
//   idle --until()--> waiting --notify(), deadline, cancellation--> ready --the loop--> idle
//                \_______________an event is remembered_______________/

#include "proxy/net/wait_point.hpp"

#include "protocol/errors.hpp"
#include "proxy/net/task.hpp"

namespace pgsluice::proxy {

static_assert(
    wait_point::fits<
        boost::asio::detail::awaitable_async_op_handler<void(wake), reactor::executor_type>>,
    "a coroutine's wait allocates"
);

wait_point::~wait_point() {
    PGSLUICE_ASSERT(finish_ == nullptr);
}

void wait_point::begin(steady_time deadline) noexcept {
    PGSLUICE_ASSERT(finish_ == nullptr);
    deadline_ = deadline;
    if (is_pending_) {
        is_ready_ = true;
        loop_.make_ready(*this);
    } else if (deadline != never) {
        loop_.arm(*this);
    }
}

/// The first wake counts, unless the wait is cancelled before it has completed.
void wait_point::wake_up(wake why) noexcept {
    if (!is_pending_ || why == wake::cancelled) {
        is_pending_ = true;
        why_ = why;
    }
    if (finish_ != nullptr && !is_ready_) {
        if (deadline_ != never) {
            loop_.disarm(*this);
        }
        is_ready_ = true;
        loop_.make_ready(*this);
    }
}

void wait_point::complete() {
    is_ready_ = is_pending_ = false;
    std::exchange(finish_, nullptr)(*this, why_);
}

}  // namespace pgsluice::proxy
