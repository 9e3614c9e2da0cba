// The header of our own connections, towards servers that ask for it.

#include "protocol/wire/proxy_header.hpp"

#include <charconv>

namespace pgsluice::protocol {

namespace {

using origin = proxied_client::origin;

constexpr std::size_t ipv4_bytes = 4;
constexpr std::size_t ipv6_bytes = 16;
constexpr std::size_t unix_addresses_bytes = 216;  // two paths

bool is_ip(const proxied_client& of) {
    return of.kind == origin::ipv4 || of.kind == origin::ipv6;
}

std::size_t size_of(const proxied_client& of) {
    return of.kind == origin::ipv4 ? ipv4_bytes : ipv6_bytes;
}

void append_number(std::string& out, unsigned value, int base) {
    std::array<char, 8> digits{};
    const auto [end, error] =
        std::to_chars(digits.data(), digits.data() + digits.size(), value, base);
    out.append(digits.data(), end);
}

/// Without `::`, which saves bytes alone.
void append_address(std::string& out, const proxied_client& of) {
    if (of.kind == origin::ipv4) {
        for (std::size_t i = 0; i < ipv4_bytes; ++i) {
            out += i == 0 ? "" : ".";
            append_number(out, of.address[i], 10);
        }
        return;
    }
    for (std::size_t i = 0; i < ipv6_bytes; i += 2) {
        out += i == 0 ? "" : ":";
        append_number(out, load_u16(of.address.data() + i), 16);
    }
}

void append_line(std::string& out, const proxied_client& client, const proxied_client& reached) {
    if (!is_ip(client)) {
        out += "PROXY UNKNOWN\r\n";
        return;
    }
    out += client.kind == origin::ipv4 ? "PROXY TCP4 " : "PROXY TCP6 ";
    append_address(out, client);
    out += ' ';
    append_address(out, reached);
    out += ' ';
    append_number(out, client.port, 10);
    out += ' ';
    append_number(out, reached.port, 10);
    out += "\r\n";
}

void append_block(std::string& out, const proxied_client& client, const proxied_client& reached) {
    constexpr std::uint8_t command_local = 0x20;
    constexpr std::uint8_t command_proxy = 0x21;
    constexpr std::uint8_t tcp_over_ipv4 = 0x11;
    constexpr std::uint8_t tcp_over_ipv6 = 0x21;
    constexpr std::uint8_t unix_stream = 0x31;
    writer fields(out);
    fields.bytes(as_bytes(std::string_view("\r\n\r\n\0\r\nQUIT\n", 12)));
    fields.u8(client.kind == origin::balancer ? command_local : command_proxy);
    if (!is_ip(client)) {
        const bool is_local = client.kind == origin::local;
        const std::size_t size = is_local ? unix_addresses_bytes : 0;
        fields.u8(is_local ? unix_stream : std::uint8_t{0});
        fields.u16(static_cast<std::uint16_t>(size));
        out.append(size, '\0');
        return;
    }
    const std::size_t size = size_of(client);
    fields.u8(client.kind == origin::ipv4 ? tcp_over_ipv4 : tcp_over_ipv6);
    fields.u16(static_cast<std::uint16_t>(2 * size + 4));
    fields.bytes(byte_view(client.address).first(size));
    fields.bytes(byte_view(reached.address).first(size));
    fields.u16(client.port);
    fields.u16(reached.port);
}

}  // namespace

void encode_proxy_header(
    std::string& out,
    proxy_version version,
    const proxied_client& client,
    const proxied_client& reached
) {
    proxied_client there = reached;
    if (there.kind != client.kind) {
        there = {client.kind, {}, reached.port};
    }
    if (version == proxy_version::v1) {
        append_line(out, client, there);
    } else if (version == proxy_version::v2) {
        append_block(out, client, there);
    }
}

}  // namespace pgsluice::protocol
