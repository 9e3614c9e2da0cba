// Addresses as texts; nothing here asks a resolver.

#include "proxy/net/endpoint.hpp"

#include <arpa/inet.h>
#include <array>
#include <netinet/in.h>
#include <sys/un.h>

namespace pgsluice::proxy {

std::string address_text(const endpoint& e) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (e.address.ss_family == AF_INET) {
        const auto* in = reinterpret_cast<const sockaddr_in*>(&e.address);
        inet_ntop(AF_INET, &in->sin_addr, text.data(), text.size());
        return std::string(text.data()) + ':' + std::to_string(ntohs(in->sin_port));
    }
    if (e.address.ss_family == AF_INET6) {
        const auto* in = reinterpret_cast<const sockaddr_in6*>(&e.address);
        inet_ntop(AF_INET6, &in->sin6_addr, text.data(), text.size());
        return '[' + std::string(text.data()) + "]:" + std::to_string(ntohs(in->sin6_port));
    }
    const auto* local = reinterpret_cast<const sockaddr_un*>(&e.address);
    return e.length > sizeof(sa_family_t) && local->sun_path[0] != 0 ? local->sun_path : "unix";
}

}  // namespace pgsluice::proxy
