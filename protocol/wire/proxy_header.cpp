// Both versions of the header, and addresses as text: the libraries allowed here have no
// inet_pton().

#include "protocol/wire/proxy_header.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

namespace pgsluice::protocol {

namespace {

using parse_result = result<std::variant<need_more, complete_proxy_header>>;
using address_bytes = std::array<std::uint8_t, 16>;

constexpr std::string_view line_start = "PROXY ";
constexpr std::string_view signature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::size_t fixed_bytes = 16;  // of version 2
constexpr std::size_t ipv4_bytes = 4;
constexpr std::size_t ipv6_bytes = 16;
constexpr std::size_t path_bytes = 108;

failure violation(std::string_view what) {
    return {
        std::string(sqlstate::protocol_violation),
        "invalid PROXY protocol header: " + std::string(what),
        {},
        "This address takes connections from load balancers that send such a header."};
}

/// Whether `received` begins with `wanted`, as far as it goes.
bool may_begin_with(std::string_view received, std::string_view wanted) {
    const std::size_t known = std::min(received.size(), wanted.size());
    return received.substr(0, known) == wanted.substr(0, known);
}

/// The whole text as a number in `base`, without sign, of at most `digits_max` digits.
std::optional<std::uint16_t> number(std::string_view text, std::size_t digits_max, int base) {
    std::uint16_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (text.size() > digits_max || error != std::errc{} || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return value;
}

std::optional<address_bytes> ipv4_of(std::string_view text) {
    address_bytes bytes{};
    for (std::size_t i = 0; i < ipv4_bytes; ++i) {
        const std::size_t end = i + 1 < ipv4_bytes ? text.find('.') : text.size();
        const std::string_view part = text.substr(0, end);
        const auto value = number(part, 3, 10);
        const bool has_needless_zero = part.size() > 1 && part.front() == '0';
        if (end == std::string_view::npos || !value || *value > 255 || has_needless_zero) {
            return std::nullopt;
        }
        bytes[i] = static_cast<std::uint8_t>(*value);
        text.remove_prefix(std::min(text.size(), end + 1));
    }
    return bytes;
}

/// RFC 4291, section 2.2: groups of hexadecimal digits, one `::` for a run of zeros, and possibly
/// the last four bytes as IPv4.
std::optional<address_bytes> ipv6_of(std::string_view text) {
    address_bytes bytes{};
    std::size_t filled = 0;
    std::optional<std::size_t> gap;
    if (text.starts_with("::")) {
        gap = 0;
        text.remove_prefix(2);
    }
    while (!text.empty()) {
        const std::size_t end = text.find(':');
        const std::string_view group = text.substr(0, end);
        const bool is_dotted = group.find('.') != std::string_view::npos;
        const auto tail = is_dotted ? ipv4_of(group) : std::nullopt;
        const auto value = is_dotted ? std::nullopt : number(group, 4, 16);
        const std::size_t size = is_dotted ? 4 : 2;
        const bool is_misplaced = is_dotted && end != std::string_view::npos;
        if ((!tail && !value) || is_misplaced || filled + size > bytes.size()) {
            return std::nullopt;
        }
        if (tail) {
            std::copy_n(tail->begin(), size, bytes.data() + filled);
        } else {
            store_u16(bytes.data() + filled, *value);
        }
        filled += size;
        if (end == std::string_view::npos) {
            break;
        }
        text.remove_prefix(end + 1);
        if (text.empty() || (text.front() == ':' && gap)) {
            return std::nullopt;
        }
        if (text.front() == ':') {
            gap = filled;
            text.remove_prefix(1);
        }
    }
    if (!gap) {
        return filled == bytes.size() ? std::optional(bytes) : std::nullopt;
    }
    if (filled == bytes.size()) {
        return std::nullopt;  // a gap of nothing
    }
    address_bytes spread{};
    std::copy_n(bytes.begin(), *gap, spread.begin());
    std::copy_backward(bytes.begin() + *gap, bytes.begin() + filled, spread.end());
    return spread;
}

/// Takes the text up to the next space, or all of it.
std::string_view next_word(std::string_view& line) {
    const std::size_t end = std::min(line.find(' '), line.size());
    const std::string_view word = line.substr(0, end);
    line.remove_prefix(std::min(line.size(), end + 1));
    return word;
}

/// What stands between "PROXY " and CRLF.
result<proxied_client> client_of_line(std::string_view line) {
    proxied_client client;
    const std::size_t spaces = static_cast<std::size_t>(std::count(line.begin(), line.end(), ' '));
    const std::string_view family = next_word(line);
    if (family == "UNKNOWN") {
        return client;
    }
    if (family != "TCP4" && family != "TCP6") {
        return violation("its protocol is none of TCP4, TCP6 and UNKNOWN");
    }
    const bool is_ipv4 = family == "TCP4";
    const auto parse = is_ipv4 ? ipv4_of : ipv6_of;
    const auto source = parse(next_word(line));
    const auto destination = parse(next_word(line));
    const auto source_port = number(next_word(line), 5, 10);
    const auto destination_port = number(next_word(line), 5, 10);
    if (!source || !destination || !source_port || !destination_port || spaces != 4) {
        return violation("it does not name two addresses and two ports");
    }
    client.kind = is_ipv4 ? proxied_client::origin::ipv4 : proxied_client::origin::ipv6;
    client.address = *source;
    client.port = *source_port;
    return client;
}

parse_result parse_line(std::string_view received) {
    const std::string_view allowed = received.substr(0, proxy_line_max_bytes);
    const std::size_t end = allowed.find('\n');
    if (end == std::string_view::npos) {
        if (allowed.size() == proxy_line_max_bytes) {
            return violation("its line is longer than 107 bytes");
        }
        return need_more{received.size() + 1};
    }
    if (allowed[end - 1] != '\r') {
        return violation("its line does not end with CR LF");
    }
    const auto client =
        client_of_line(allowed.substr(line_start.size(), end - 1 - line_start.size()));
    if (!client) {
        return client.error();
    }
    return complete_proxy_header{*client, end + 1};
}

/// Version 2's addresses: both addresses, then both ports; paths of unix sockets stay unread.
result<proxied_client> client_of_block(std::uint8_t family, byte_view block) {
    constexpr std::uint8_t unspecified = 0x00;
    constexpr std::uint8_t tcp_over_ipv4 = 0x11;
    constexpr std::uint8_t tcp_over_ipv6 = 0x21;
    constexpr std::uint8_t unix_stream = 0x31;
    proxied_client client;
    std::size_t address_size = 0;
    switch (family) {
    case unspecified:
        return client;
    case tcp_over_ipv4:
        client.kind = proxied_client::origin::ipv4;
        address_size = ipv4_bytes;
        break;
    case tcp_over_ipv6:
        client.kind = proxied_client::origin::ipv6;
        address_size = ipv6_bytes;
        break;
    case unix_stream:
        client.kind = proxied_client::origin::local;
        if (block.size() < 2 * path_bytes) {
            return violation("it is too short for its addresses");
        }
        return client;
    default:
        return violation("its address family and transport are not those of a stream");
    }
    if (block.size() < 2 * address_size + 4) {
        return violation("it is too short for its addresses");
    }
    std::copy_n(block.data(), address_size, client.address.data());
    client.port = load_u16(block.data() + 2 * address_size);
    return client;
}

parse_result parse_block(byte_view received) {
    constexpr std::uint8_t command_local = 0x20;
    constexpr std::uint8_t command_proxy = 0x21;
    constexpr std::size_t command_at = 12;
    constexpr std::size_t family_at = 13;
    constexpr std::size_t length_at = 14;
    const bool has_command = received.size() > command_at;
    const std::uint8_t command = has_command ? received[command_at] : command_proxy;
    if (command != command_local && command != command_proxy) {
        return violation("its version and command are not LOCAL or PROXY of version 2");
    }
    if (received.size() < fixed_bytes) {
        return need_more{fixed_bytes};
    }
    const std::size_t length = load_u16(received.data() + length_at);
    if (length > proxy_block_max_bytes) {
        return violation("it is longer than 4096 bytes");
    }
    if (received.size() < fixed_bytes + length) {
        return need_more{fixed_bytes + length};
    }
    proxied_client client;
    if (command == command_proxy) {
        const auto named =
            client_of_block(received[family_at], received.subspan(fixed_bytes, length));
        if (!named) {
            return named.error();
        }
        client = *named;
    }
    return complete_proxy_header{client, fixed_bytes + length};
}

}  // namespace

parse_result parse_proxy_header(byte_view received) {
    const std::string_view text = as_text(received);
    if (may_begin_with(text, line_start)) {
        return text.size() < line_start.size() ? parse_result(need_more{text.size() + 1})
                                               : parse_line(text);
    }
    if (!may_begin_with(text, signature)) {
        return violation("it begins like neither version");
    }
    return text.size() < signature.size() ? parse_result(need_more{fixed_bytes})
                                          : parse_block(received);
}

}  // namespace pgsluice::protocol
