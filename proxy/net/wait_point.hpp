#pragma once

#include "proxy/net/reactor.hpp"

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/executor_work_guard.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace pgsluice::proxy {

/// Why a wait ended.
enum class wake : std::uint8_t { event, deadline, cancelled };

/// A handler of a wait that is too large for a wait_point, or runs on another executor.
template <class Handler>
class boxed_handler {
public:
    boxed_handler(Handler handler, const reactor::executor_type& own)
        : parts_(new parts{std::move(handler), own}) {}

    void operator()(wake why) {
        parts all = std::move(*parts_);
        parts_.reset();
        boost::asio::dispatch(
            all.work.get_executor(),
            [handler = std::move(all.handler), why]() mutable { std::move(handler)(why); }
        );
    }

    using cancellation_slot_type = boost::asio::associated_cancellation_slot_t<Handler>;
    cancellation_slot_type get_cancellation_slot() const noexcept {
        return boost::asio::get_associated_cancellation_slot(parts_->handler);
    }

private:
    using executor = boost::asio::associated_executor_t<Handler, reactor::executor_type>;
    struct parts {
        parts(Handler h, const reactor::executor_type& own)
            : handler(std::move(h)), work(boost::asio::get_associated_executor(handler, own)) {}
        Handler handler;
        boost::asio::executor_work_guard<executor> work;
    };
    std::unique_ptr<parts> parts_;
};

/// Where one operation waits: for an event that somebody reports by notify(), until a deadline at
/// the latest. At most one operation waits at a point at a time. An event that is reported while
/// none waits is remembered, so that it cannot be lost between looking and waiting.
class wait_point final : private loop_operation {
    static constexpr std::size_t handler_bytes = 2 * sizeof(void*);

public:
    explicit wait_point(reactor& loop) noexcept : loop_(loop) {}
    ~wait_point();

    /// Completes the wait after the present batch of events, or makes the next wait complete
    /// without an event of its own.
    void notify() noexcept { wake_up(wake::event); }

    /// Forgets an event that was reported while nobody waited.
    void forget() noexcept { is_pending_ = false; }

    /// Waits; completes with why that ended, never inside of this call. Takes any completion token;
    /// without one it is a coroutine's: `co_await point.until(deadline)`. Honours the cancellation
    /// slot of the handler, for all types of cancellation. A handler of at most two pointers, as a
    /// coroutine's is, costs no allocation.
    template <boost::asio::completion_token_for<void(wake)> Token = boost::asio::deferred_t>
    auto until(steady_time deadline, Token&& token = Token()) {
        return boost::asio::async_initiate<Token, void(wake)>(initiation{*this}, token, deadline);
    }

    /// Whether a wait with this handler allocates nothing.
    template <class Handler>
    static constexpr bool
        fits = sizeof(Handler) <= handler_bytes && alignof(Handler) <= alignof(void*) &&
               std::is_nothrow_move_constructible_v<Handler>&& std::is_same_v<
                   boost::asio::associated_executor_t<Handler, reactor::executor_type>,
                   reactor::executor_type>;

private:
    struct initiation {
        using executor_type = reactor::executor_type;
        executor_type get_executor() const noexcept { return point.loop_.get_executor(); }
        template <class Handler>
        void operator()(Handler&& handler, steady_time deadline) const {
            point.start(std::forward<Handler>(handler), deadline);
        }
        wait_point& point;
    };

    struct canceller {
        explicit canceller(wait_point& p) noexcept : point(p) {}
        void operator()(boost::asio::cancellation_type type) const noexcept {
            if (type != boost::asio::cancellation_type::none) {
                point.wake_up(wake::cancelled);
            }
        }
        wait_point& point;
    };

    template <class Handler>
    void start(Handler handler, steady_time deadline);
    template <class Handler>
    static void finish(wait_point& point, wake why);

    void begin(steady_time deadline) noexcept;
    void wake_up(wake why) noexcept;
    void on_deadline() noexcept override { wake_up(wake::deadline); }
    void complete() override;

    reactor& loop_;
    void (*finish_)(wait_point& point, wake why) = nullptr;  ///< null while nobody waits
    alignas(void*) std::byte handler_[handler_bytes];
    wake why_ = wake::event;
    bool is_pending_ = false;
    bool is_ready_ = false;
};

template <class Handler>
void wait_point::start(Handler handler, steady_time deadline) {
    if constexpr (fits<Handler>) {
        auto slot = boost::asio::get_associated_cancellation_slot(handler);
        if (slot.is_connected()) {
            slot.template emplace<canceller>(*this);
        }
        begin(deadline);
        new (handler_) Handler(std::move(handler));
        finish_ = finish<Handler>;
    } else {
        start(boxed_handler<Handler>(std::move(handler), loop_.get_executor()), deadline);
    }
}

/// The handler moves out first: it may destroy the point, or wait there again.
template <class Handler>
void wait_point::finish(wait_point& point, wake why) {
    auto* const held = std::launder(reinterpret_cast<Handler*>(point.handler_));
    Handler handler(std::move(*held));
    held->~Handler();
    auto slot = boost::asio::get_associated_cancellation_slot(handler);
    if (slot.is_connected()) {
        slot.clear();
    }
    handler(why);
}

}  // namespace pgsluice::proxy
