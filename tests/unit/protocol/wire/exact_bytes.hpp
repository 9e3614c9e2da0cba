#pragma once

#include "protocol/wire/wire.hpp"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace pgsluice::protocol {

/// A copy in a heap block of exactly its size, so that the address sanitizer sees any read past
/// the end. Literals would not do: a NUL and other literals follow them.
class exact_bytes {
public:
    explicit exact_bytes(std::string_view text)
        : size_(text.size()), block_(std::make_unique<std::uint8_t[]>(text.size())) {
        std::ranges::copy(as_bytes(text), block_.get());
    }

    byte_view view() const noexcept { return {block_.get(), size_}; }

private:
    std::size_t size_;
    std::unique_ptr<std::uint8_t[]> block_;
};

/// A startup-phase packet: length, then `rest` (which begins with the code).
inline std::string packet(std::string_view rest) {
    std::string out;
    writer w(out);
    w.u32(static_cast<std::uint32_t>(rest.size() + 4));
    w.bytes(rest);
    return out;
}

/// A typed message: type, length, body.
inline std::string message(char type, std::string_view body = {}) {
    return type + packet(body);
}

}  // namespace pgsluice::protocol
