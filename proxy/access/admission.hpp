#pragma once

#include "proxy/access/address_set.hpp"

#include <string>

namespace pgsluice::proxy {

/// Who may start new work while the gate is open, and what new clients outside are told.
struct admission {
    address_set set = address_set::all();
    bool refuses = false;  ///< new clients outside get 57P03 at once; otherwise they are held
    std::string message;   ///< of the refusal

    friend bool operator==(const admission&, const admission&) = default;
};

}  // namespace pgsluice::proxy
