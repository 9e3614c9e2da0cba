#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace pgsluice::protocol {

/// Message lengths above this are refused. The server itself never sends or takes more than 1 GiB
/// (MaxAllocSize); a larger length is a broken or hostile peer.
inline constexpr std::uint32_t message_bytes_max = 0x4000'0000;

/// Header-only framing of one direction of a connection after the startup packet: a type byte, a
/// big-endian Int32 length that counts itself, the body ("Message Flow", chapter "Frontend/Backend
/// Protocol"). Bodies are skipped by count and never copied or buffered.
///
/// Call protocol: present the bytes read; scan() consumes whole headers with whatever part of their
/// bodies is there and returns how many bytes it consumed. An incomplete header (and, for types
/// that ask for it, the first bytes of its body) is left over: present it again in front of the
/// next read. It is never more than `leftover_bytes_max`.
class frame_cursor {
public:
    using byte_view = std::span<const std::uint8_t>;

    static constexpr std::size_t header_bytes = 5;
    static constexpr std::size_t prefix_bytes_max = 4;
    static constexpr std::size_t leftover_bytes_max = header_bytes + prefix_bytes_max - 1;

    struct message {
        std::uint8_t type;
        std::uint32_t body_bytes;
        std::size_t offset;     ///< of the header in the span that is scanned
        byte_view body_so_far;  ///< what of the body is in the span; shares its lifetime
    };

    /// Between two messages: nothing of a message was consumed without the rest of it.
    bool between_messages() const noexcept { return body_remaining_ == 0; }

    /// A length below 4 or above message_bytes_max was seen: the stream cannot be followed further.
    bool broken() const noexcept { return broken_; }

    /// Bytes of the current body that were not presented yet.
    std::uint32_t body_remaining() const noexcept { return body_remaining_; }

    /// Visitor:
    ///   std::size_t prefix(std::uint8_t type)  bytes of the body (<= prefix_bytes_max, and no more
    ///                                          than the body has) that must be there as well
    ///                                          before the message counts as arrived;
    ///   bool on_message(const message&)        false: stop before this message, consuming nothing
    ///                                          of it;
    ///   void on_body(byte_view)                a further part of the body of the message before.
    template <class Visitor>
    std::size_t scan(byte_view bytes, Visitor& visitor) {
        const std::size_t size = bytes.size();
        std::size_t at = 0;
        if (body_remaining_ != 0) {
            at = body_remaining_ < size ? body_remaining_ : size;
            body_remaining_ -= static_cast<std::uint32_t>(at);
            visitor.on_body(bytes.first(at));
        }
        while (size - at >= header_bytes) {
            const std::uint8_t* header = bytes.data() + at;
            const std::uint32_t length = load_length(header + 1);
            if (length < 4 || length > message_bytes_max) [[unlikely]] {
                broken_ = true;
                break;
            }
            const std::size_t there = size - at - header_bytes;
            const std::uint32_t body_bytes = length - 4;
            const std::size_t wanted = visitor.prefix(*header);
            if (there < wanted && there < body_bytes) [[unlikely]] {
                break;
            }
            const std::size_t body_there = body_bytes < there ? body_bytes : there;
            if (!visitor.on_message(
                    {*header, body_bytes, at, bytes.subspan(at + header_bytes, body_there)}
                )) {
                break;
            }
            at += header_bytes + body_there;
            body_remaining_ = body_bytes - static_cast<std::uint32_t>(body_there);
        }
        return at;
    }

private:
    static std::uint32_t load_length(const std::uint8_t* p) noexcept {
        std::uint32_t v = 0;
        std::memcpy(&v, p, sizeof v);
        return std::endian::native == std::endian::little ? __builtin_bswap32(v) : v;
    }

    std::uint32_t body_remaining_ = 0;
    bool broken_ = false;
};

}  // namespace pgsluice::protocol
