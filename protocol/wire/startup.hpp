#pragma once

#include "protocol/errors.hpp"
#include "protocol/wire/wire.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

// The packet a connection starts with, before any message has a type byte. Sections 55.2.1
// "Start-up", 55.2.8 "Canceling Requests in Progress", 55.2.10 and 55.2.11 (encryption requests)
// of the PostgreSQL manual.
//
//   packet         = length:Int32 code:Int32 rest        length counts itself
//   StartupMessage = code 3.x, rest = *( name NUL value NUL ) NUL
//   CancelRequest  = rest = pid:Int32 key:Byte[4..256]
//   SSLRequest, GSSENCRequest: no rest

namespace pgsluice::protocol {

/// Lengths a server accepts: its MAX_STARTUP_PACKET_LENGTH does not count the length field itself.
inline constexpr std::size_t startup_packet_min_bytes = 8;
inline constexpr std::size_t startup_packet_max_bytes = 10000 + 4;

/// Cancel keys are 4 bytes up to protocol 3.1, any length in these bounds from 3.2 on.
inline constexpr std::size_t cancel_key_min_bytes = 4;
inline constexpr std::size_t cancel_key_max_bytes = 256;

/// One start-up parameter; points into the StartupMessage it came from.
struct startup_parameter {
    std::string_view name;
    std::string_view value;
};

/// What a client asked for. Owns the packet as it came, so that it can be sent again to another
/// server byte for byte; everything else is read out of that on demand.
class StartupMessage {
public:
    /// `packet` is a whole packet, length included, that parse_startup() accepted or
    /// encode_startup() made.
    explicit StartupMessage(std::string packet) noexcept : packet_(std::move(packet)) {}

    /// The whole packet, length included. Views into it live as long as this object stays put.
    std::string_view packet() const noexcept { return packet_; }

    unsigned major() const noexcept { return load_u16(as_bytes(packet_).data() + 4); }

    /// May be newer than any server speaks; then the server answers NegotiateProtocolVersion.
    unsigned minor() const noexcept { return load_u16(as_bytes(packet_).data() + 6); }

    /// All parameters in the order sent, duplicates included.
    std::vector<startup_parameter> parameters() const;

    /// The value of a parameter; of duplicates the last one, as the server takes them.
    std::optional<std::string_view> find(std::string_view name) const noexcept;

    /// `user`; empty when absent, which a server refuses with 28000.
    std::string_view user() const noexcept { return find("user").value_or(""); }

    /// `database`, which defaults to the user's name (also when it is sent empty).
    std::string_view database() const noexcept;

    /// `options`: command-line switches for the backend; empty when absent.
    std::string_view options() const noexcept { return find("options").value_or(""); }

    /// The session will be a WAL sender (section 55.4 "Streaming Replication Protocol"): there is a
    /// `replication` parameter that does not clearly say false. Values a server would refuse count
    /// as yes.
    bool wants_replication() const noexcept;

    /// The same for another user: the database stays the one that this message means.
    StartupMessage as_user(std::string_view name) const;

    /// The same with another value of one parameter, or one parameter more.
    StartupMessage with(std::string_view name, std::string_view value) const;
    /// The same for another database.
    StartupMessage with_database(std::string_view name) const;

private:
    StartupMessage of(std::string_view user, std::string_view database) const;

    std::string packet_;
};

/// The client wants TLS, and waits for one byte: `S` or `N`.
struct SSLRequest {};

/// The client wants GSSAPI encryption, and waits for one byte: `G` or `N`.
struct GSSENCRequest {};

/// The client wants the running query of another connection cancelled. No answer is sent.
struct CancelRequest {
    std::int32_t pid = 0;
    std::string key;  ///< cancel_key_min_bytes … cancel_key_max_bytes
};

using startup_packet = std::variant<StartupMessage, SSLRequest, GSSENCRequest, CancelRequest>;

/// parse_startup()'s answer while the packet is not complete.
struct need_more {
    std::size_t bytes_wanted;  ///< how long the received prefix has to be before asking again
};

/// parse_startup()'s answer when the packet is complete.
struct complete_startup {
    startup_packet packet;
    std::size_t bytes_consumed;  ///< what follows them belongs to the next packet or message
};

/// Looks at all bytes received so far on a new connection (or after an encryption request was
/// answered). Owns nothing between calls: pass the same bytes again, with more behind them. Fails
/// as early as the prefix allows, with 08P01 for a malformed packet and 0A000 for a protocol that
/// is not 3.x; the message is the server's own where it has one.
result<std::variant<need_more, complete_startup>> parse_startup(byte_view received);

/// Appends a StartupMessage packet; `code` is one of startup_code::StartupMessage, …32.
void encode_startup(
    std::string& out, std::int32_t code, std::span<const startup_parameter> parameters
);

/// Appends a CancelRequest packet. `key` is as long as BackendKeyData gave it.
void encode_cancel_request(std::string& out, std::int32_t pid, byte_view key);

}  // namespace pgsluice::protocol
