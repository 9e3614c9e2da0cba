// Where a client comes from when it comes through a load balancer: a PROXY protocol header in front
// of everything else. A listener either requires one of every connection or knows of none, so that
// nothing a client sends can be taken for one.

#include "protocol/proxy_header.hpp"
#include "proxy/refusal.hpp"
#include "proxy/session.hpp"
#include "proxy/shard.hpp"
#include "proxy/worker.hpp"

#include <spdlog/spdlog.h>

#include <array>
#include <cstring>
#include <netinet/in.h>

namespace pgsluice::proxy {

namespace {

constexpr std::chrono::seconds header_time{5};
constexpr std::size_t read_bytes = 1024;

void log_refused(const service_settings& settings, const std::string& from, std::string_view why) {
    spdlog::warn("proxy_header_refused service={} from={} why=\"{}\"", settings.name, from, why);
}

}  // namespace

/// True when the client's address is known and it may go on.
task<bool> session::find_source() {
    const auto& balancers = entrance_->balancers;
    if (!balancers) {
        co_return true;
    }
    if (!balancers->contains(source_)) {
        log_refused(shard_.settings(), address_, "not a trusted load balancer");
        shard_counters::bump(shard_.counters().clients_refused);
        failure why = refusal::not_a_balancer(shard_.settings());
        co_await tell_and_close(std::move(why));
        co_return false;
    }
    const bool is_known = co_await read_proxy_header();
    co_return is_known;
}

task<bool> session::read_proxy_header() {
    const steady_time deadline = born_ + header_time;
    while (true) {
        auto parsed = protocol::parse_proxy_header(early_);
        if (!parsed) {
            log_refused(shard_.settings(), address_, parsed.error().message);
            shard_counters::bump(shard_.counters().clients_refused);
            failure why = parsed.error();
            why.detail = "Service \"" + shard_.settings().name + "\".";
            co_await tell_and_close(std::move(why));
            co_return false;
        }
        if (const auto* header = std::get_if<protocol::complete_proxy_header>(&*parsed)) {
            come_from(header->client);
            const auto used = static_cast<std::ptrdiff_t>(header->bytes_consumed);
            early_.erase(early_.begin(), early_.begin() + used);
            co_return true;
        }
        std::array<std::uint8_t, read_bytes> bytes{};
        const io_result r = co_await read_some(client_, wait_, bytes, deadline);
        if (!r.done()) {
            if (!early_.empty() && !farewell_) {
                log_refused(shard_.settings(), address_, "incomplete");
            }
            co_return false;  // silent, as for a startup that is not finished
        }
        early_.insert(early_.end(), bytes.begin(), bytes.begin() + r.bytes);
    }
}

/// From here on the client's own address is the only one there is: for admission, logs and lists.
void session::come_from(const protocol::proxied_client& client) {
    using origin = protocol::proxied_client::origin;
    endpoint from;
    switch (client.kind) {
    case origin::balancer:
        return;
    case origin::ipv4: {
        auto* in = reinterpret_cast<sockaddr_in*>(&from.address);
        in->sin_family = AF_INET;
        in->sin_port = htons(client.port);
        std::memcpy(&in->sin_addr, client.address.data(), sizeof in->sin_addr);
        break;
    }
    case origin::ipv6: {
        auto* in = reinterpret_cast<sockaddr_in6*>(&from.address);
        in->sin6_family = AF_INET6;
        in->sin6_port = htons(client.port);
        std::memcpy(&in->sin6_addr, client.address.data(), sizeof in->sin6_addr);
        break;
    }
    case origin::local:
        from.address.ss_family = AF_UNIX;
        break;
    }
    address_ = address_text(from);
    source_ = client_address::of(from);
    inside_ = shard_.admitted().set.contains(source_);
}

}  // namespace pgsluice::proxy
