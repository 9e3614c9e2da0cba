#pragma once

#include "proxy/net/io_result.hpp"
#include "proxy/net/tls_context.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

struct bio_st;
struct bio_method_st;
struct ssl_st;

namespace pgsluice::proxy {

/// The one protocol of ALPN that PostgreSQL knows (RFC 7301, and "SSL Session Encryption" in the
/// manual), with its length in front.
inline constexpr std::array<unsigned char, 11> alpn_postgresql{
    10, 'p', 'o', 's', 't', 'g', 'r', 'e', 's', 'q', 'l'};

/// What the calling thread's OpenSSL complains of, in words; forgets it.
std::string tls_reason();

/// TLS on one connected non-blocking socket, which somebody else owns and waits for. Calls do what
/// they can at once, as recv(2) and send(2) do.
class tls_channel {
public:
    /// `read_ahead`: what was read from the socket already and belongs to TLS.
    tls_channel(const tls_context& context, int fd, std::vector<std::uint8_t> read_ahead);
    ~tls_channel();
    tls_channel(const tls_channel&) = delete;
    tls_channel& operator=(const tls_channel&) = delete;

    /// What has to happen before handshake() can go on; `failed`: see why().
    enum class step : std::uint8_t { done, wants_read, wants_write, failed };
    step handshake();
    const std::string& why() const noexcept { return why_; }
    /// The client or server has agreed to speak PostgreSQL's protocol (ALPN).
    bool has_agreed_protocol() const noexcept;

    /// The common name of the peer's certificate, which the context's CA has signed; nullopt where
    /// it showed none. A name with a NUL in it counts as none (CVE-2009-4034).
    std::optional<std::string> peer_name() const;
    /// It showed one, whatever its name.
    bool has_peer_certificate() const noexcept;
    /// The server's certificate as channel binding wants it: tls-server-end-point, RFC 5929 section
    /// 4.1. Ours towards a client, the peer's towards a backend; empty where its signature does not
    /// say by which hash (Ed25519), as in the server.
    std::string end_point() const;

    /// Fills `into` as far as there are bytes. Bytes may be left that epoll knows nothing of.
    io_result recv(std::span<std::uint8_t> into) noexcept;
    /// As recv(), but the bytes stay.
    io_result peek(std::span<std::uint8_t> into) noexcept;
    /// recv() or peek() would not say `again`, though the socket may have nothing to read.
    bool has_unread() const noexcept;
    /// The last recv() or peek() has to answer the peer first, which the socket does not take yet.
    bool wants_write() const noexcept { return wants_write_; }

    /// What was not sent has to come again, at the front, in the next call.
    io_result send(std::span<const std::uint8_t> bytes) noexcept;

    /// Tells the peer that nothing more will be sent, if the socket takes it.
    void say_goodbye() noexcept;

private:
    enum class unread : std::uint8_t { nothing, perhaps, the_end };

    static int bio_read(bio_st* bio, char* into, int bytes);
    static int bio_write(bio_st* bio, const char* from, int bytes);
    static long bio_control(bio_st* bio, int command, long number, void* pointer);
    static const bio_method_st* bio_method();
    io_result read(std::span<std::uint8_t> into, bool stays) noexcept;
    io_result not_done(int returned) noexcept;

    ssl_st* ssl_;
    int fd_;
    bool socket_ended_ = false;
    bool wants_write_ = false;
    bool is_up_ = false;
    unread unread_ = unread::nothing;
    std::vector<std::uint8_t> read_ahead_;
    std::string why_;
};

}  // namespace pgsluice::proxy
