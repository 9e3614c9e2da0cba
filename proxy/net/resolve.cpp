// Resolves names with getaddrinfo(3), which blocks.

#include "proxy/net/resolve.hpp"

#include <arpa/inet.h>
#include <charconv>
#include <cstring>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/un.h>

namespace pgsluice::proxy {

namespace {

result<std::vector<endpoint>> unix_address(const std::string& directory, std::uint16_t port) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = directory + "/.s.PGSQL." + std::to_string(port);
    if (path.size() >= sizeof address.sun_path) {
        return failure{"08001", "socket path \"" + path + "\" is too long", {}, {}};
    }
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    endpoint e;
    std::memcpy(&e.address, &address, sizeof address);
    e.length = sizeof address;
    e.text = path;
    return std::vector<endpoint>{e};
}

}  // namespace

result<std::vector<endpoint>> resolve(const std::string& host, std::uint16_t port) {
    if (!host.empty() && host[0] == '/') {
        return unix_address(host, port);
    }
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICSERV;
    addrinfo* found = nullptr;
    const int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
    if (error != 0) {
        return failure{"08001", "cannot resolve \"" + host + "\": " + gai_strerror(error), {}, {}};
    }
    std::vector<endpoint> all;
    for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
        endpoint e;
        std::memcpy(&e.address, each->ai_addr, each->ai_addrlen);
        e.length = each->ai_addrlen;
        e.text = address_text(e);
        all.push_back(std::move(e));
    }
    freeaddrinfo(found);
    return all;
}

result<std::vector<endpoint>> resolve_listen(const std::string& text) {
    const std::size_t colon = text.rfind(':');
    std::uint16_t port = 0;
    const char* end = text.data() + text.size();
    if (colon == std::string::npos ||
        std::from_chars(text.data() + colon + 1, end, port).ptr != end || port == 0) {
        return failure{"08001", "\"" + text + "\" is not host:port", {}, {}};
    }
    std::string host = text.substr(0, colon);
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
        host = host.substr(1, host.size() - 2);
    }
    return resolve(host == "*" ? "0.0.0.0" : host, port);
}

}  // namespace pgsluice::proxy
