#pragma once

#include "proxy/net/reactor.hpp"

#include <boost/asio/awaitable.hpp>

namespace pgsluice::proxy {

/// A coroutine of a worker: starts when it is awaited, and everything in it runs on the one thread
/// of the worker's loop. Roots are started with boost::asio::co_spawn() on the loop's executor.
/// Used on cold paths only: handshakes, connecting, parking, moving; never once a message.
template <class T>
using task = boost::asio::awaitable<T, reactor::executor_type>;

}  // namespace pgsluice::proxy
