#pragma once

#include "protocol/auth/scram.hpp"
#include "protocol/auth/secret.hpp"
#include "protocol/auth/userlist.hpp"
#include "protocol/errors.hpp"
#include "protocol/wire/wire.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// What a login at a server is made with, and how a server's requests are answered with it.

namespace pgsluice::protocol {

/// What is known to log in with. Nothing at all is useful, too: `trust` asks for nothing.
struct credentials {
    secret password;
    secret md5;                      ///< "md5" and digits, of this user
    std::optional<scram_keys> keys;  ///< learned, or derived from the password and kept

    /// What a list's entry is worth before its owner has shown a proof.
    static credentials of(const user_secret& known);

    bool empty() const noexcept { return password.empty() && md5.empty() && !keys; }
};

/// Whether a login at a server is bound to its TLS connection; libpq's words.
enum class channel_binding : std::uint8_t { prefer, require, disable };

/// Answers the Authentication messages of one login at a server.
class backend_login {
public:
    /// `known` outlives the login, which may keep derived keys in it. `nonce` and `end_point` as
    /// for scram_client: with one, channel binding is used where the server offers it, unless
    /// `binding` disables it. Where it is required nothing else gets in.
    backend_login(
        credentials& known,
        std::string user,
        std::string nonce,
        std::string end_point = {},
        channel_binding binding = channel_binding::prefer
    );

    /// The message to send, or nothing, for the body of an Authentication message. Fails with words
    /// for an operator: 28000 when it cannot be answered with what is known, 28P01 when the keys
    /// known are of another verifier, 08P01 when it is malformed or out of order.
    result<std::string> answer(byte_view body);

private:
    result<std::string> send_password();
    result<std::string> send_md5(byte_view salt);
    result<std::string> begin_scram(byte_view mechanisms);
    result<std::string> continue_scram(std::string_view server_first);
    failure cannot(std::string_view asks) const;
    bool lacks_binding(std::int32_t request) const noexcept;

    enum class step : std::uint8_t { start, client_first_sent, client_final_sent, proved };

    credentials& known_;
    std::string user_;
    scram_client scram_;
    bool must_bind_;
    bool is_bound_ = false;
    step step_ = step::start;
};

}  // namespace pgsluice::protocol
