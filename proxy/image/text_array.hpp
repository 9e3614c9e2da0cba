#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace pgsluice::proxy {

/// A text[] parameter in text format ("Arrays", section "Array Input and Output Syntax"): every
/// element quoted, so that nothing in it is special.
std::string text_array(std::span<const std::string_view> elements);

/// An oid[] parameter in text format.
std::string oid_array(std::span<const std::uint32_t> oids);

/// A quoted identifier ("Lexical Structure", "Identifiers and Key Words").
std::string quoted_identifier(std::string_view name);

}  // namespace pgsluice::proxy
