#pragma once

#include "protocol/errors.hpp"
#include "protocol/wire/wire.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace pgsluice::fuzz {

using protocol::byte_view;

/// What the fuzzer hands over, read from the front: first a few choices, then the bytes to parse.
class input {
public:
    input(const std::uint8_t* data, std::size_t size) noexcept : rest_(data, size) {}

    bool empty() const noexcept { return rest_.empty(); }

    /// The next byte; 0 at the end.
    std::uint8_t byte() noexcept {
        if (rest_.empty())
            return 0;
        const std::uint8_t first = rest_[0];
        rest_ = rest_.subspan(1);
        return first;
    }

    byte_view rest() const noexcept { return rest_; }

private:
    byte_view rest_;
};

/// A copy in a heap block of exactly its size: the address sanitizer sees any read past the end.
class exact_block {
public:
    explicit exact_block(byte_view bytes)
        : size_(bytes.size()), block_(std::make_unique<std::uint8_t[]>(bytes.size())) {
        std::copy(bytes.begin(), bytes.end(), block_.get());
    }
    byte_view view() const noexcept { return {block_.get(), size_}; }

private:
    std::size_t size_;
    std::unique_ptr<std::uint8_t[]> block_;
};

/// Reads every byte, so that a view that reaches too far is noticed.
inline void touch(byte_view bytes) noexcept {
    static volatile std::uint8_t sink;
    for (const std::uint8_t byte : bytes)
        sink = static_cast<std::uint8_t>(sink ^ byte);
}

inline void touch(std::string_view text) noexcept {
    touch(protocol::as_bytes(text));
}

}  // namespace pgsluice::fuzz
