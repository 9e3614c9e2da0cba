#pragma once

#include "proxy/model/session_info.hpp"

#include <span>
#include <string>
#include <vector>

namespace pgsluice::control {

/// Sessions that satisfy `wanted` in words, at most 20 and then a count.
std::vector<std::string> session_rows(
    std::span<const proxy::session_info> sessions, bool (*wanted)(const proxy::session_info&)
);
bool blocks_drain(const proxy::session_info& session);
bool has_pins(const proxy::session_info& session);

}  // namespace pgsluice::control
