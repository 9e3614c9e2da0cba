// Where a client comes from when it comes through a load balancer: a PROXY protocol header in front
// of everything else. A listener either requires one of every connection or knows of none, so that
// nothing a client sends can be taken for one. And how its servers are told the same.

#include "protocol/wire/proxy_header.hpp"

#include "proxy/session/host.hpp"
#include "proxy/session/refusal.hpp"
#include "proxy/session/session.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <netinet/in.h>
#include <sys/socket.h>

namespace pgsluice::proxy {

namespace {

constexpr std::chrono::seconds header_time{5};
constexpr std::size_t read_bytes = 1024;

std::uint16_t port_of(std::string_view address) {
    std::uint16_t port = 0;
    const std::size_t colon = address.rfind(':');
    if (colon != std::string_view::npos) {
        std::from_chars(address.data() + colon + 1, address.data() + address.size(), port);
    }
    return port;
}

protocol::proxied_client proxied(const client_address& from, std::uint16_t port) {
    using origin = protocol::proxied_client::origin;
    protocol::proxied_client client;
    if (from.is_local) {
        client.kind = origin::local;
        return client;
    }
    client.kind = from.is_ipv4() ? origin::ipv4 : origin::ipv6;
    client.port = port;
    const auto first = from.bytes.begin() + (from.is_ipv4() ? 12 : 0);  // behind the mapped prefix
    std::copy(first, from.bytes.end(), client.address.begin());
    return client;
}

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
        log_refused(host_.settings(), address_, "not a trusted load balancer");
        shard_counters::bump(host_.counters().clients_refused);
        failure why = refusal::not_a_balancer(host_.settings());
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
            log_refused(host_.settings(), address_, parsed.error().message);
            shard_counters::bump(host_.counters().clients_refused);
            failure why = parsed.error();
            why.detail = "Service \"" + host_.settings().name + "\".";
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
                log_refused(host_.settings(), address_, "incomplete");
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
    inside_ = host_.admitted().set.contains(source_);
}

/// Puts the client's address into what its servers are told at login, and so after each move. Not
/// for replication, where the name is what synchronous_standby_names look for.
void session::show_address() {
    const address_shown where = host_.settings().client_address;
    if (where == address_shown::nowhere || startup_->wants_replication()) {
        return;
    }
    constexpr std::size_t name_max = 63;  // bytes, NAMEDATALEN - 1: servers cut what is longer
    constexpr std::string_view between = " - ";
    std::string name = "pgsluice.client_address";
    std::string value = address_;
    if (where == address_shown::application_name) {
        name = "application_name";
        const std::string given(startup_->find(name).value_or(""));
        const std::size_t taken = between.size() + address_.size();
        if (!given.empty() && taken < name_max) {
            value = given.substr(0, name_max - taken) + std::string(between) + address_;
        }
    }
    protocol::StartupMessage changed = startup_->with(name, value);
    if (changed.packet().size() <= protocol::startup_packet_max_bytes) {
        startup_.emplace(std::move(changed));
    }
}

/// What the server is told in front of everything else about whose connection it is.
std::string session::preface_for(const backend_target& target) const {
    std::string header;
    if (target.send_proxy == protocol::proxy_version::none) {
        return header;
    }
    endpoint reached;
    reached.length = sizeof reached.address;
    auto* const address = reinterpret_cast<sockaddr*>(&reached.address);
    if (!client_.is_open() || ::getsockname(client_.fd(), address, &reached.length) != 0) {
        reached = {};
    }
    // Both of our families have the port in one place.
    const std::uint16_t port =
        ntohs(reinterpret_cast<const sockaddr_in*>(&reached.address)->sin_port);
    const bool is_ip =
        reached.address.ss_family == AF_INET || reached.address.ss_family == AF_INET6;
    encode_proxy_header(
        header,
        target.send_proxy,
        proxied(source_, port_of(address_)),
        proxied(client_address::of(reached), is_ip ? port : std::uint16_t{0})
    );
    return header;
}

}  // namespace pgsluice::proxy
