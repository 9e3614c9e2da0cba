// Handshakes. What either side sends before its handshake is never read as protocol: a client's
// bytes behind SSLRequest refuse it (session_startup.cpp), a backend's bytes behind its `S` do
// here.

#include "proxy/net/tls_handshake.hpp"

#include "protocol/wire/message_types.hpp"
#include "protocol/wire/wire.hpp"
#include "proxy/net/tls_channel.hpp"

#include <array>

namespace pgsluice::proxy {

namespace {

task<tls_trouble> shake_hands(stream& s, wait_point& point, steady_time deadline) {
    for (;;) {
        const tls_channel::step next = s.tls()->handshake();
        if (next == tls_channel::step::done) {
            co_return tls_trouble{};
        }
        if (next == tls_channel::step::failed) {
            co_return s.tls()->why();
        }
        const std::uint32_t events =
            next == tls_channel::step::wants_read ? EPOLLIN : std::uint32_t{EPOLLOUT};
        const io_result waited = co_await await_events(s, point, events, deadline);
        if (!waited.done()) {
            co_return describe(waited);
        }
    }
}

}  // namespace

task<tls_trouble> secure_client(
    stream& client,
    wait_point& point,
    tls_context::pointer identity,
    std::vector<std::uint8_t> read_ahead,
    steady_time deadline
) {
    client.secure(std::make_unique<tls_channel>(*identity, client.fd(), std::move(read_ahead)));
    co_return co_await shake_hands(client, point, deadline);
}

task<tls_trouble> secure_backend(
    stream& backend, wait_point& point, tls_context::pointer rules, steady_time deadline
) {
    if (!rules) {
        co_return tls_trouble{};
    }
    std::string request;
    protocol::writer packet(request);
    packet.begin_untyped_message();
    packet.i32(protocol::startup_code::SSLRequest);
    packet.end_message();
    const io_result sent =
        co_await write_all(backend, point, protocol::as_bytes(request), deadline);
    if (!sent.done()) {
        co_return describe(sent);
    }
    std::array<std::uint8_t, 1> answer{};
    const io_result r = co_await read_answer(backend, point, answer, deadline);
    if (!r.done()) {
        co_return describe(r);
    }
    if (answer[0] == 'N') {
        co_return rules->is_optional() ? tls_trouble{} : "the server has no TLS, which is required";
    }
    if (answer[0] != 'S') {
        co_return answer[0] == 'E' ? "the server answered the request for TLS with an error"
                                   : "the server's answer to the request for TLS is invalid";
    }
    const io_result behind = backend.peek(answer);
    if (!behind.again()) {
        co_return behind.done() ? "the server sent unencrypted data after its answer to the "
                                  "request for TLS"
                                : describe(behind);
    }
    backend.secure(std::make_unique<tls_channel>(*rules, backend.fd(), std::vector<std::uint8_t>{})
    );
    co_return co_await shake_hands(backend, point, deadline);
}

}  // namespace pgsluice::proxy
