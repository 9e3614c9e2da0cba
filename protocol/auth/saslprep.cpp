// Tables of RFC 3454 "Preparation of Internationalized Strings".

#include "protocol/auth/saslprep.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>

namespace pgsluice::protocol {

namespace {

struct range {
    std::uint32_t first;
    std::uint32_t last;
};

// C.1.2 "Non-ASCII space characters"
constexpr range spaces[] = {
    {0x00A0, 0x00A0},
    {0x1680, 0x1680},
    {0x2000, 0x200B},
    {0x202F, 0x202F},
    {0x205F, 0x205F},
    {0x3000, 0x3000},
};

// B.1 "Commonly mapped to nothing"
constexpr range nothings[] = {
    {0x00AD, 0x00AD},
    {0x034F, 0x034F},
    {0x1806, 0x1806},
    {0x180B, 0x180D},
    {0x200C, 0x200D},
    {0x2060, 0x2060},
    {0xFE00, 0xFE0F},
    {0xFEFF, 0xFEFF},
};

// C.2.1, C.2.2 and C.3 to C.9, less what was mapped before
constexpr range prohibited[] = {
    {0x0000, 0x001F},   {0x007F, 0x009F},   {0x0340, 0x0341},     {0x06DD, 0x06DD},
    {0x070F, 0x070F},   {0x180E, 0x180E},   {0x200E, 0x200F},     {0x2028, 0x202E},
    {0x2061, 0x2063},   {0x206A, 0x206F},   {0x2FF0, 0x2FFB},     {0xD800, 0xF8FF},
    {0xFDD0, 0xFDEF},   {0xFFF9, 0xFFFF},   {0x1D173, 0x1D17A},   {0xE0001, 0xE0001},
    {0xE0020, 0xE007F}, {0xF0000, 0xFFFFF}, {0x100000, 0x10FFFF},
};

bool is_in(std::uint32_t c, std::span<const range> ranges) {
    return std::ranges::any_of(ranges, [c](const range& r) { return c >= r.first && c <= r.last; });
}

bool is_prohibited(std::uint32_t c) {
    return (c & 0xFFFEU) == 0xFFFEU || is_in(c, prohibited);  // the last two of each plane: C.4
}

/// Takes one character off the front; nullopt when it is not UTF-8 (RFC 3629).
std::optional<std::uint32_t> next_character(std::string_view& text) {
    const auto lead = static_cast<std::uint8_t>(text[0]);
    const std::size_t size = lead < 0x80   ? 1
                             : lead < 0xC2 ? 0
                             : lead < 0xE0 ? 2
                             : lead < 0xF0 ? 3
                                           : 4;
    if (size == 0 || lead > 0xF4 || text.size() < size)
        return std::nullopt;
    constexpr std::array<std::uint32_t, 5> lead_bits = {0, 0x7F, 0x1F, 0x0F, 0x07};
    std::uint32_t c = lead & lead_bits[size];
    for (std::size_t i = 1; i < size; ++i) {
        const auto byte = static_cast<std::uint8_t>(text[i]);
        if ((byte & 0xC0U) != 0x80U)
            return std::nullopt;
        c = (c << 6) | (byte & 0x3FU);
    }
    constexpr std::array<std::uint32_t, 5> least = {0, 0, 0x80, 0x800, 0x10000};
    if (c < least[size] || c > 0x10FFFF)
        return std::nullopt;
    text.remove_prefix(size);
    return c;
}

}  // namespace

secret saslprep(std::string_view password) {
    const auto is_ascii = [](char c) {
        return static_cast<unsigned char>(c) < 0x80;
    };
    if (std::ranges::all_of(password, is_ascii))
        return secret(password);
    secret prepared;
    std::string_view rest = password;
    while (!rest.empty()) {
        const char* const start = rest.data();
        const auto c = next_character(rest);
        if (!c || (!is_in(*c, spaces) && !is_in(*c, nothings) && is_prohibited(*c)))
            return secret(password);
        if (is_in(*c, spaces)) {
            prepared.push_back(' ');
        } else if (!is_in(*c, nothings)) {
            for (const char* at = start; at != rest.data(); ++at)
                prepared.push_back(*at);
        }
    }
    // A password of nothing but what is mapped away would be none at all.
    return prepared.empty() ? secret(password) : prepared;
}

}  // namespace pgsluice::protocol
