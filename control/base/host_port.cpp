// Addresses as written in the configuration: TCP host and port, or a unix socket directory.
#include "control/base/host_port.hpp"

#include <charconv>
#include <optional>
#include <sys/un.h>

namespace pgsluice::control {
namespace {

failure wrong(std::string_view text, std::string_view why) {
    return failure{
        "22023",
        "\"" + std::string(text) + "\" " + std::string(why) +
            ", expected host:port, [ipv6]:port or a /socket/directory",
        {},
        {}};
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
    std::uint16_t port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (error != std::errc{} || end != text.data() + text.size() || port == 0) {
        return std::nullopt;
    }
    return port;
}

result<host_port> parse_socket(std::string_view text, std::uint16_t port_default) {
    host_port parsed{std::string(text), port_default};
    const std::size_t colon = text.rfind(':');
    if (colon != std::string_view::npos && colon > text.rfind('/')) {
        const auto port = parse_port(text.substr(colon + 1));
        if (!port) {
            return wrong(text, "has no valid port (1 to 65535) after the last colon");
        }
        parsed = host_port{std::string(text.substr(0, colon)), *port};
    }
    while (parsed.host.size() > 1 && parsed.host.back() == '/') {
        parsed.host.pop_back();
    }
    if (parsed.socket_path().size() >= sizeof(sockaddr_un{}.sun_path)) {
        return wrong(text, "is too long for a unix socket path (107 bytes)");
    }
    return parsed;
}

}  // namespace

std::string host_port::socket_path() const {
    return (host == "/" ? std::string() : host) + "/.s.PGSQL." + std::to_string(port);
}

std::string host_port::text() const {
    const bool is_ipv6 = !is_socket() && host.find(':') != std::string::npos;
    return (is_ipv6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

result<host_port> parse_host_port(std::string_view text, std::uint16_t port_default) {
    if (text.starts_with('/')) {
        return parse_socket(text, port_default);
    }
    const std::size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) {
        return wrong(text, "has no port");
    }
    std::string_view host = text.substr(0, colon);
    const auto port = parse_port(text.substr(colon + 1));
    if (!port) {
        return wrong(text, "has no valid port (1 to 65535)");
    }
    if (host.starts_with('[') && host.ends_with(']')) {
        host = host.substr(1, host.size() - 2);
    } else if (host.find(':') != std::string_view::npos) {
        return wrong(text, "is an IPv6 address without brackets");
    }
    if (host.empty() || host.find_first_of(" \t[]/") != std::string_view::npos) {
        return wrong(text, "has no valid host");
    }
    return host_port{std::string(host), *port};
}

}  // namespace pgsluice::control
