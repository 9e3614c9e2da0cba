#pragma once

#include "protocol/wire/wire.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace pgsluice::protocol {

/// What a client is told that is refused because its service is forced read-only.
struct guard_words {
    std::string service;                              ///< for the hint
    std::string_view end = "sluicectl readonly off";  ///< the command that lets writes in again

    /// Why, and who can end it.
    std::string hint() const;
};

/// What the server was doing for whom when it raised an error.
struct error_circumstances {
    bool is_clients_block = false;  ///< the client opened the transaction block, or knows of it
    bool is_clients_query = false;  ///< a part of the client's Query that is run as Parse, Bind, …
    /// What the guard had the server refuse in the client's place; empty: nothing.
    std::string_view denied{};
};

/// The ErrorResponse that the client gets instead of one with this body: errors that come from the
/// read-only transaction become 25006 with a hint. Nothing where the server's own is right.
std::optional<std::string>
reword_error(byte_view body, const error_circumstances& when, const guard_words& words);

}  // namespace pgsluice::protocol
