#pragma once

#include "protocol/wire/wire.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::protocol {

/// RFC 4648 section 4, with padding and without line breaks.
std::string encode_base64(byte_view bytes);

/// Exactly what encode_base64() makes; anything else (blanks, missing or early padding, bits that
/// are not zero behind the end) is nullopt.
std::optional<std::vector<std::uint8_t>> decode_base64(std::string_view text);

}  // namespace pgsluice::protocol
