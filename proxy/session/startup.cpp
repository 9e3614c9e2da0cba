// How a client's connection begins: TLS if it wants it, then its startup packet, or a request to
// cancel what another connection runs.

#include "proxy/net/tls_channel.hpp"
#include "proxy/net/tls_handshake.hpp"
#include "proxy/session/cancel_registry.hpp"
#include "proxy/session/host.hpp"
#include "proxy/session/refusal.hpp"
#include "proxy/session/session.hpp"

#include <spdlog/spdlog.h>

#include <array>
#include <utility>

namespace pgsluice::proxy {

namespace {

constexpr unsigned encryption_requests_max = 2;  // one SSLRequest, one GSSENCRequest
constexpr std::size_t startup_read_bytes = 1024;
constexpr std::uint8_t tls_handshake_record = 0x16;  // RFC 8446, section 5.1

}  // namespace

task<bool> session::start_up() {
    const steady_time deadline = born_ + host_.settings().login_timeout;
    unsigned encryption_requests = 0;
    while (!startup_) {
        const bool is_direct = !early_.empty() && early_.front() == tls_handshake_record &&
                               encryption_requests == 0 && !client_.is_secure() && may_use_tls();
        if (is_direct) {
            const bool is_up = co_await begin_direct_tls(deadline);
            if (!is_up) {
                co_return false;
            }
        }
        auto parsed = protocol::parse_startup(early_);
        if (!parsed) {
            failure why = parsed.error();
            co_await tell_and_close(std::move(why));
            co_return false;
        }
        if (std::holds_alternative<protocol::need_more>(*parsed)) {
            std::array<std::uint8_t, startup_read_bytes> bytes{};
            const io_result r = co_await read_some(client_, wait_, bytes, deadline);
            if (!r.done()) {
                co_return false;  // silent: whoever does not finish its startup is told nothing
            }
            early_.insert(early_.end(), bytes.begin(), bytes.begin() + r.bytes);
            continue;
        }
        auto& complete = std::get<protocol::complete_startup>(*parsed);
        const auto used = static_cast<std::ptrdiff_t>(complete.bytes_consumed);
        early_.erase(early_.begin(), early_.begin() + used);
        const bool asks_encryption =
            std::holds_alternative<protocol::SSLRequest>(complete.packet) ||
            std::holds_alternative<protocol::GSSENCRequest>(complete.packet);
        if (asks_encryption && client_.is_secure()) {
            co_await refuse_startup("a request for encryption inside of TLS");
            co_return false;
        }
        if (asks_encryption && ++encryption_requests > encryption_requests_max) {
            co_await refuse_startup("too many requests for encryption before the startup packet");
            co_return false;
        }
        const bool goes_on = co_await answer_startup(complete.packet);
        if (!goes_on) {
            co_return false;
        }
    }
    co_return true;
}

/// True when the connection goes on, with startup_ set if it was the StartupMessage.
task<bool> session::answer_startup(const protocol::startup_packet& packet) {
    if (const auto* startup = std::get_if<protocol::StartupMessage>(&packet)) {
        if (lacks_tls()) {
            failure why = refusal::tls_required(host_.settings());
            co_await tell_and_close(std::move(why));
            co_return false;
        }
        startup_.emplace(*startup);
        co_return true;
    }
    if (const auto* cancel = std::get_if<protocol::CancelRequest>(&packet)) {
        co_await forward_cancel(*cancel);
        co_return false;
    }
    const bool asks_tls = std::holds_alternative<protocol::SSLRequest>(packet);
    const bool accepts = asks_tls && may_use_tls();
    co_return co_await answer_encryption(accepts);
}

bool session::may_use_tls() const noexcept {
    const service_settings& settings = host_.settings();
    return settings.identity && settings.tls != client_tls::disable;
}

/// Unix sockets are as good as TLS to `require`, as they are to a server's `hostssl`.
bool session::lacks_tls() const noexcept {
    return host_.settings().tls >= client_tls::require && !client_.is_secure() && !source_.is_local;
}

task<bool> session::answer_encryption(bool accepts) {
    const steady_time deadline = born_ + host_.settings().login_timeout;
    if (accepts && !early_.empty()) {
        co_await refuse_startup("received unencrypted data after SSL request");
        co_return false;
    }
    const std::array<std::uint8_t, 1> answer{accepts ? std::uint8_t{'S'} : std::uint8_t{'N'}};
    const io_result r = co_await write_all(client_, wait_, answer, deadline);
    if (!r.done() || !accepts) {
        co_return r.done();
    }
    co_return co_await begin_tls(deadline);
}

/// What the client has sent so far is the beginning of its handshake.
task<bool> session::begin_tls(steady_time deadline) {
    const auto identity = host_.settings().identity;
    std::vector<std::uint8_t> first = std::exchange(early_, {});
    const std::string trouble =
        co_await secure_client(client_, wait_, identity, std::move(first), deadline);
    if (trouble.empty()) {
        co_return true;
    }
    if (!farewell_) {
        shard_counters::bump(host_.counters().logins_failed);
        spdlog::info(
            "tls_handshake_failed service={} session={} address={} why=\"{}\"",
            host_.settings().name,
            id_,
            address_,
            trouble
        );
    }
    co_return false;
}

/// Direct TLS: there was no question, so the client has to say by ALPN what it wants to speak.
task<bool> session::begin_direct_tls(steady_time deadline) {
    const bool is_up = co_await begin_tls(deadline);
    if (is_up && !client_.tls()->has_agreed_protocol()) {
        co_await refuse_startup(
            "received direct SSL connection request without ALPN protocol negotiation extension"
        );
        co_return false;
    }
    co_return is_up;
}

task<void> session::refuse_startup(std::string what) {
    failure why = refusal::violation(host_.settings(), what);
    co_await tell_and_close(std::move(why));
}

task<void> session::forward_cancel(protocol::CancelRequest request) {
    const auto target =
        may_cancel() ? host_.home().cancels.find(request.pid, request.key) : std::nullopt;
    if (!target) {
        count_unknown_cancel();
        co_return;
    }
    host_.forward_cancel(*target, id_);
    co_await wait_.until(reactor::now() + cancel_time);
}

}  // namespace pgsluice::proxy
