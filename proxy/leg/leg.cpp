// Opening a backend connection and running scripts on it: what talks to a backend outside the pump;
// the login is in login.cpp.

#include "proxy/leg/leg.hpp"

#include "protocol/wire/message_types.hpp"
#include "protocol/wire/wire.hpp"
#include "proxy/net/tls_handshake.hpp"
#include "proxy/net/whole_message.hpp"

#include <cerrno>

namespace pgsluice::proxy {

namespace {

constexpr std::size_t read_bytes = 16 * 1024;
constexpr std::size_t script_message_bytes_max = 128 * 1024 * 1024;

}  // namespace

void leg::record_status(byte_view body) {
    protocol::reader fields(body);
    const auto name = fields.cstring();
    const auto value = fields.cstring();
    if (name && value) {
        reported.set(*name, *value);
    }
}

task<result<void>>
open_leg(leg& l, wait_point& point, const backend_target& target, milliseconds timeout_each) {
    std::string said;
    l.binding = target.binding;
    for (const endpoint& address : target.endpoints) {
        const steady_time deadline = reactor::now() + timeout_each;
        const io_result r = co_await connect_to(l.io, point, address, deadline);
        std::string trouble;
        if (!r.done()) {
            trouble = describe(r);
        } else if (!l.preface.empty()) {
            const byte_view preface = protocol::as_bytes(l.preface);
            const io_result sent = co_await write_all(l.io, point, preface, deadline);
            trouble = sent.done() ? "" : describe(sent);
        }
        if (trouble.empty() && target.tls) {
            trouble = co_await secure_backend(l.io, point, target.tls, deadline);
            trouble.insert(0, trouble.empty() ? "" : "TLS: ");
        }
        if (trouble.empty()) {
            l.address = address;
            co_return result<void>{};
        }
        l.io.close();
        said += (said.empty() ? "" : "; ") + address.text + ": " + trouble;
        const auto state = co_await boost::asio::this_coro::cancellation_state;
        if (state.cancelled() != boost::asio::cancellation_type::none) {
            break;
        }
    }
    co_return failure{
        std::string(sqlstate::cannot_connect_now),
        "backend \"" + target.name + "\" cannot be reached",
        std::move(said),
        {}};
}

namespace {

/// Sends what it can of `unsent` and waits until there is something to read.
task<io_result> exchange(
    leg& l,
    wait_point& point,
    byte_view& unsent,
    std::vector<std::uint8_t>& buffer,
    steady_time deadline
) {
    for (;;) {
        if (!unsent.empty()) {
            const io_result sent = l.io.send(unsent);
            if (sent.over()) {
                co_return sent;
            }
            unsent = unsent.subspan(sent.bytes);
        }
        const std::size_t before = buffer.size();
        buffer.resize(before + read_bytes);
        const io_result r = l.io.recv(std::span(buffer).subspan(before));
        buffer.resize(before + r.bytes);
        if (!r.again()) {
            co_return r;
        }
        wake_sink sink(point);
        l.io.watch(EPOLLIN | (unsent.empty() ? 0U : EPOLLOUT), &sink);
        const wake why = co_await point.until(deadline);
        l.io.rest();
        if (why != wake::event) {
            co_return io_result{
                io_result::status::failed, 0, why == wake::deadline ? ETIMEDOUT : ECANCELED};
        }
    }
}

}  // namespace

const stray_message ignore_stray = [](std::uint8_t, byte_view) {
};

task<result<script_outcome>> run_script(
    leg& l, wait_point& point, const script& s, steady_time deadline, const stray_message& stray
) {
    script_reader answers(s);
    byte_view unsent = protocol::as_bytes(s.bytes);
    std::vector<std::uint8_t> buffer = std::move(l.early);
    l.early.clear();
    std::size_t at = 0;
    bool broken = false;
    while (!answers.is_done()) {
        const auto m = message_at(byte_view(buffer).subspan(at), script_message_bytes_max, broken);
        if (m) {
            if (m->type == protocol::backend::ParameterStatus) {
                l.record_status(m->body);
            }
            const auto reply = answers.on_message(static_cast<char>(m->type), m->body);
            if (reply == script_reader::reply::not_mine) {
                stray(m->type, m->all);
            }
            at += m->all.size();
            continue;
        }
        buffer.erase(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(at));
        at = 0;
        io_result r{.what = io_result::status::end};
        if (!broken) {
            r = co_await exchange(l, point, unsent, buffer, deadline);
        }
        if (!r.done()) {
            l.dead = true;
            l.early = std::move(buffer);
            co_return failure{
                std::string(sqlstate::connection_failure),
                "lost the connection to " + l.address.text + " during a private exchange",
                describe(r),
                {}};
        }
    }
    l.early.assign(buffer.begin() + static_cast<std::ptrdiff_t>(at), buffer.end());
    co_return answers.take();
}

cancel_order cancel_order::of(const leg& l, const backend_target& target) {
    return {
        .address = l.address,
        .pid = l.pid,
        .key = l.key,
        .tls = l.io.is_secure() ? target.tls : nullptr,
        .preface = l.preface};
}

task<void> send_cancel(reactor& loop, cancel_order order, steady_time deadline) {
    stream io(loop);
    wait_point point(loop);
    const io_result connected = co_await connect_to(io, point, order.address, deadline);
    if (!connected.done()) {
        co_return;
    }
    const byte_view preface = protocol::as_bytes(order.preface);
    const io_result introduced = co_await write_all(io, point, preface, deadline);
    if (!introduced.done()) {
        co_return;
    }
    const std::string trouble = co_await secure_backend(io, point, order.tls, deadline);
    if (!trouble.empty()) {
        co_return;
    }
    std::string packet;
    protocol::encode_cancel_request(packet, order.pid, protocol::as_bytes(order.key));
    const io_result sent = co_await write_all(io, point, protocol::as_bytes(packet), deadline);
    if (!sent.done()) {
        co_return;
    }
    std::array<std::uint8_t, 16> nothing{};
    co_await read_some(io, point, nothing, deadline);  // the server closes when it has acted
}

}  // namespace pgsluice::proxy
