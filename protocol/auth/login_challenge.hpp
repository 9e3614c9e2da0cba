#pragma once

#include "protocol/auth/credentials.hpp"
#include "protocol/auth/scram.hpp"
#include "protocol/auth/userlist.hpp"
#include "protocol/errors.hpp"
#include "protocol/wire/wire.hpp"

#include <array>
#include <memory>
#include <optional>
#include <string>

// How a client that wants to log in is asked who it is. Refusals are the server's own, in the same
// order; whoever is not in the list goes through the same messages and the same computations.

namespace pgsluice::protocol {

enum class challenge_method : std::uint8_t { scram_sha_256, md5 };

/// Random values for one login.
struct challenge_entropy {
    std::string nonce;  ///< as for scram_server
    std::array<std::uint8_t, 4> md5_salt{};
};

/// What a client's connection is.
struct login_channel {
    /// The hash of the certificate that TLS has shown it, as for scram_server; empty: none.
    std::string end_point{};
};

/// 28P01, what a server says about a wrong password and about a user that it does not know.
failure wrong_password(std::string_view user);

/// One client's login. With `md5`, a user whose secret is a SCRAM verifier is asked for SCRAM all
/// the same, as by the server; with `scram_sha_256`, an md5 hash lets nobody in.
class login_challenge {
public:
    struct step {
        std::string to_send;
        bool is_done = false;  ///< the client is who it says; AuthenticationOk is still to be sent
    };

    login_challenge(
        challenge_method method,
        const user_list& users,
        std::string user,
        challenge_entropy entropy,
        login_channel channel = {}
    );

    /// The Authentication message to begin with.
    std::string request() const;

    /// Takes the body of the client's PasswordMessage, SASLInitialResponse or SASLResponse.
    result<step> answer(byte_view body);

    /// Once is_done: what the user can be logged in with elsewhere.
    credentials take() { return std::move(known_); }

private:
    result<step> answer_md5(byte_view body);
    result<step> begin_scram(byte_view body);
    result<step> scram_first(std::string_view message);
    result<step> scram_final(std::string_view message);

    enum class stage : std::uint8_t { md5, sasl_initial, client_first, client_final, over };

    std::string user_;
    challenge_entropy entropy_;
    bool offers_plus_;
    bool is_plus_ = false;
    bool is_doomed_ = false;
    secret md5_;
    std::optional<scram_server> scram_;
    credentials known_;
    stage stage_ = stage::md5;
};

}  // namespace pgsluice::protocol
