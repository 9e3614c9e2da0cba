#pragma once

#include "protocol/errors.hpp"

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string_view>

namespace pgsluice::protocol {

/// Bytes somebody else owns. Every decoder takes one and what it returns points into it.
using byte_view = std::span<const std::uint8_t>;

/// The same bytes as text; no copy, lives as long as `bytes`.
inline std::string_view as_text(byte_view bytes) noexcept {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// The same text as bytes; no copy, lives as long as `text`.
inline byte_view as_bytes(std::string_view text) noexcept {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// Integers on the wire are big-endian ("network order", section 55.6 "Message Data Types") and
// never aligned. Compilers turn each of these into one load or store and a byte swap.

/// The two bytes at `p` as an unsigned integer. `p` need not be aligned.
constexpr std::uint16_t load_u16(const std::uint8_t* p) noexcept {
    return static_cast<std::uint16_t>((unsigned{p[0]} << 8) | unsigned{p[1]});
}

/// The four bytes at `p` as an unsigned integer. `p` need not be aligned.
constexpr std::uint32_t load_u32(const std::uint8_t* p) noexcept {
    return (std::uint32_t{p[0]} << 24) | (std::uint32_t{p[1]} << 16) | (std::uint32_t{p[2]} << 8) |
           std::uint32_t{p[3]};
}

/// load_u16 as the Int16 of the manual. Counts (of parameters, columns, format codes) are Int16 in
/// the manual too, but the server and libpq read them unsigned: up to 65535 parameters. Use u16.
constexpr std::int16_t load_i16(const std::uint8_t* p) noexcept {
    return static_cast<std::int16_t>(load_u16(p));
}

/// load_u32 as the Int32 of the manual.
constexpr std::int32_t load_i32(const std::uint8_t* p) noexcept {
    return static_cast<std::int32_t>(load_u32(p));
}

/// Writes two bytes at `p`, which need not be aligned.
constexpr void store_u16(std::uint8_t* p, std::uint16_t value) noexcept {
    p[0] = static_cast<std::uint8_t>(value >> 8);
    p[1] = static_cast<std::uint8_t>(value);
}

/// Writes four bytes at `p`, which need not be aligned.
constexpr void store_u32(std::uint8_t* p, std::uint32_t value) noexcept {
    p[0] = static_cast<std::uint8_t>(value >> 24);
    p[1] = static_cast<std::uint8_t>(value >> 16);
    p[2] = static_cast<std::uint8_t>(value >> 8);
    p[3] = static_cast<std::uint8_t>(value);
}

/// Takes fields off the front of a message body and never reads past its end. A read that does not
/// fit yields nothing and fails the reader for good, so a decoder may read several fields and check
/// them together. Results point into the bytes the reader was made from.
class reader {
public:
    explicit reader(byte_view bytes) noexcept : rest_(bytes) {}

    std::optional<std::uint8_t> u8() noexcept { return take<1, std::uint8_t>(load_byte); }
    std::optional<std::uint16_t> u16() noexcept { return take<2, std::uint16_t>(load_u16); }
    std::optional<std::int16_t> i16() noexcept { return take<2, std::int16_t>(load_i16); }
    std::optional<std::int32_t> i32() noexcept { return take<4, std::int32_t>(load_i32); }
    std::optional<std::uint32_t> u32() noexcept { return take<4, std::uint32_t>(load_u32); }

    /// A String: the bytes before the next NUL; the NUL is consumed. Fails without a NUL.
    std::optional<std::string_view> cstring() noexcept {
        const void* nul =
            failed_ || rest_.empty() ? nullptr : std::memchr(rest_.data(), 0, rest_.size());
        if (nul == nullptr)
            return fail();
        const auto length =
            static_cast<std::size_t>(static_cast<const std::uint8_t*>(nul) - rest_.data());
        const auto text = as_text(rest_.first(length));
        rest_ = rest_.subspan(length + 1);
        return text;
    }

    /// The next `count` bytes. `count` may come straight from the wire.
    std::optional<byte_view> bytes(std::size_t count) noexcept {
        if (failed_ || count > rest_.size())
            return fail();
        const auto taken = rest_.first(count);
        rest_ = rest_.subspan(count);
        return taken;
    }

    /// What has not been read yet; empty once a read has failed. Consumes nothing.
    byte_view rest() const noexcept { return rest_; }

    /// Everything was read and every read fitted: what a well-formed message ends with.
    bool at_end() const noexcept { return !failed_ && rest_.empty(); }

    bool failed() const noexcept { return failed_; }

private:
    static constexpr std::uint8_t load_byte(const std::uint8_t* p) noexcept { return *p; }

    template <std::size_t Size, class T>
    std::optional<T> take(T (*load)(const std::uint8_t*)) noexcept {
        if (failed_ || rest_.size() < Size)
            return fail();
        const T value = load(rest_.data());
        rest_ = rest_.subspan(Size);
        return value;
    }

    std::nullopt_t fail() noexcept {
        failed_ = true;
        rest_ = {};
        return std::nullopt;
    }

    byte_view rest_;
    bool failed_ = false;
};

/// What a writer can append to: std::string, std::vector<std::uint8_t> and the like.
template <class T>
concept byte_buffer = requires(T buffer, std::size_t size) {
    requires sizeof(typename T::value_type) == 1;
    buffer.resize(size);
    buffer.data();
    { buffer.size() } -> std::convertible_to<std::size_t>;
};

/// Appends messages to a buffer that the caller owns and that outlives the writer. Only integers
/// and strings of the caller's own making come in here, so what cannot be encoded (a string with a
/// NUL inside, a message over 2 GiB) is a broken invariant, not an error.
template <byte_buffer Buffer>
class writer {
public:
    explicit writer(Buffer& out) noexcept : out_(out) {}

    /// Starts a message of this type; its length is filled in by end_message().
    void begin_message(char type) {
        u8(static_cast<std::uint8_t>(type));
        begin_untyped_message();
    }

    /// Starts a packet without a type byte: StartupMessage, CancelRequest and their kin.
    void begin_untyped_message() {
        PGSLUICE_ASSERT(length_at_ == closed);
        length_at_ = out_.size();
        u32(0);
    }

    /// Fills in the length, which counts itself but not the type byte.
    void end_message() {
        PGSLUICE_ASSERT(length_at_ != closed);
        const std::size_t length = out_.size() - length_at_;
        PGSLUICE_ASSERT(length <= std::numeric_limits<std::int32_t>::max());
        store_u32(
            reinterpret_cast<std::uint8_t*>(out_.data()) + length_at_,
            static_cast<std::uint32_t>(length)
        );
        length_at_ = closed;
    }

    void u8(std::uint8_t value) { append(&value, 1); }

    void i16(std::int16_t value) { u16(static_cast<std::uint16_t>(value)); }

    void u16(std::uint16_t value) {
        std::uint8_t raw[2];
        store_u16(raw, value);
        append(raw, sizeof raw);
    }

    void i32(std::int32_t value) { u32(static_cast<std::uint32_t>(value)); }

    void u32(std::uint32_t value) {
        std::uint8_t raw[4];
        store_u32(raw, value);
        append(raw, sizeof raw);
    }

    /// The text and its terminating NUL.
    void cstring(std::string_view text) {
        PGSLUICE_ASSERT(text.find('\0') == std::string_view::npos);
        bytes(as_bytes(text));
        u8(0);
    }

    void bytes(byte_view raw) { append(raw.data(), raw.size()); }
    void bytes(std::string_view raw) { bytes(as_bytes(raw)); }

private:
    static constexpr std::size_t closed = std::numeric_limits<std::size_t>::max();

    void append(const std::uint8_t* p, std::size_t count) {
        // Not insert(): g++ 12 at -O3 sees an overlap in std::string::insert that is not there.
        const std::size_t before = out_.size();
        out_.resize(before + count);
        if (count != 0)
            std::memcpy(out_.data() + before, p, count);
    }

    Buffer& out_;
    std::size_t length_at_ = closed;
};

}  // namespace pgsluice::protocol
