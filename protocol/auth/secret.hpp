#pragma once

#include "protocol/wire/wire.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace pgsluice::protocol {

/// Overwrites memory in a way that no compiler leaves out (OPENSSL_cleanse).
void wipe(void* memory, std::size_t bytes) noexcept;

/// True when both are the same; the time it takes depends on the lengths alone.
bool same_secret(byte_view one, byte_view other) noexcept;

/// Gives memory back overwritten, when a vector grows, too.
template <class T>
struct wiping_allocator {
    using value_type = T;

    wiping_allocator() noexcept = default;
    template <class U>
    explicit wiping_allocator(const wiping_allocator<U>&) noexcept {}

    T* allocate(std::size_t count) { return std::allocator<T>().allocate(count); }
    void deallocate(T* memory, std::size_t count) noexcept {
        wipe(memory, count * sizeof(T));
        std::allocator<T>().deallocate(memory, count);
    }
    bool operator==(const wiping_allocator&) const noexcept = default;
};

/// A password or a password hash. Wiped when it is dropped; never to be logged.
class secret {
public:
    secret() = default;
    explicit secret(std::string_view text) : bytes_(text.begin(), text.end()) {}

    bool empty() const noexcept { return bytes_.empty(); }
    /// Valid while the secret is neither changed nor dropped.
    std::string_view view() const noexcept { return {bytes_.data(), bytes_.size()}; }
    void push_back(char c) { bytes_.push_back(c); }

private:
    std::vector<char, wiping_allocator<char>> bytes_;
};

/// A key or hash of 32 bytes (SHA-256), wiped when it is dropped.
struct secret_key {
    static constexpr std::size_t size = 32;

    std::array<std::uint8_t, size> bytes{};

    secret_key() = default;
    secret_key(const secret_key&) = default;
    secret_key& operator=(const secret_key&) = default;
    ~secret_key() { wipe(bytes.data(), bytes.size()); }

    byte_view view() const noexcept { return bytes; }
    /// In constant time.
    bool operator==(const secret_key& other) const noexcept {
        return same_secret(view(), other.view());
    }
};

}  // namespace pgsluice::protocol
