// The two rounds of md5 that a password and a login take ("Start-up", section 55.2.1).

#include "protocol/auth/md5_password.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <vector>

namespace pgsluice::protocol {

namespace {

constexpr std::string_view prefix = "md5";
constexpr std::size_t digits = 32;

secret hash_of(std::string_view first, std::string_view second) {
    std::vector<char, wiping_allocator<char>> text(first.begin(), first.end());
    text.insert(text.end(), second.begin(), second.end());
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned bytes = 0;
    if (EVP_Digest(text.data(), text.size(), digest.data(), &bytes, EVP_md5(), nullptr) != 1)
        return secret();
    secret hash(prefix);
    constexpr std::string_view hex = "0123456789abcdef";
    for (const unsigned char byte : std::span(digest).first(bytes)) {
        hash.push_back(hex[byte >> 4]);
        hash.push_back(hex[byte & 15U]);
    }
    return hash;
}

}  // namespace

bool is_md5_hash(std::string_view text) noexcept {
    return text.size() == prefix.size() + digits && text.starts_with(prefix) &&
           text.find_first_not_of("0123456789abcdef", prefix.size()) == std::string_view::npos;
}

secret md5_hash(std::string_view password, std::string_view user) {
    return hash_of(password, user);
}

secret md5_response(std::string_view hash, byte_view salt) {
    return hash_of(hash.substr(std::min(prefix.size(), hash.size())), as_text(salt));
}

}  // namespace pgsluice::protocol
