#pragma once

#include "protocol/sql/statement_kind.hpp"
#include "protocol/wire/messages.hpp"

#include <cstddef>
#include <cstdint>
#include <string>

namespace pgsluice::protocol {

/// The client's unnamed prepared statement under a guard, which borrows its place on the server for
/// statements of its own: there they are cheapest. Before the client uses it, it is sent again.
struct unnamed_statement {
    enum class state : std::uint8_t {
        none,   ///< the client has none
        known,  ///< can be sent again
        stays,  ///< cannot, so that its place must not be taken
        lost,   ///< could not any more, and its place was taken: it cannot be run
    };

    /// Longer ones stay.
    static constexpr std::size_t parse_bytes_max = 64 * 1024;

    /// That of a Parse message with this body, whose text was read so.
    static unnamed_statement
    of(byte_view body, const Parse& message, const statement_reading& reading);

    /// One that exists without anybody knowing its text: it cannot be run.
    static unnamed_statement strange();

    /// standard_conforming_strings or client_encoding has changed: the same bytes could be another
    /// statement now. `is_taken`: it is not on the server at the moment.
    void outlive_settings(bool is_taken);

    /// What it is to the guard; null without one.
    const statement_reading* known_as() const noexcept {
        return what == state::none ? nullptr : &reading;
    }

    state what = state::none;
    std::string parse{};          ///< `known`: the body of its Parse message
    bool is_plain = true;         ///< its text means the same under all settings
    bool takes_snapshot = false;  ///< as takes_snapshot() says of its text
    statement_reading reading{};
};

}  // namespace pgsluice::protocol
