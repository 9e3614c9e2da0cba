#pragma once

#include "protocol/auth/credentials.hpp"
#include "protocol/auth/login_challenge.hpp"
#include "protocol/auth/scram.hpp"
#include "protocol/errors.hpp"
#include "protocol/wire/startup.hpp"
#include "proxy/leg/leg.hpp"
#include "proxy/net/stream.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace pgsluice::proxy {

/// How a login ended when it did not succeed.
struct login_failure {
    failure why;
    bool client_told = false;  ///< the backend's own error was passed on
    bool client_gone = false;
};
using login_result = boost::system::result<void, login_failure>;
[[noreturn]] void
throw_exception_from_error(const login_failure& f, const boost::source_location& where);

/// Printable, 24 characters of a CSPRNG: for one login.
std::string login_nonce();

/// The client of a login that is its own: it sees the backend's messages as they are but for
/// BackendKeyData.
struct login_client {
    stream& io;
    std::vector<std::uint8_t>& early;  ///< client bytes read behind a password message
    /// Given the real pid and key, returns the BackendKeyData for the client.
    std::function<std::string(std::int32_t pid, const std::string& key)> give_key;
    /// The backend asks the client itself; else it is answered here and the client hears only that
    /// it is in.
    bool gives_answers = true;
    /// Told of a SCRAM exchange between client and backend; may be null.
    protocol::scram_observer* observer = nullptr;
    /// What the client is still to hear of its own login, ask_client()'s last message: sent in
    /// front of the backend's first, and then empty. May be null.
    std::string* owed = nullptr;
};

/// Sends the client's startup packet and goes on to the first ReadyForQuery. Without a client, or
/// with one that gives no answers, the backend is answered with `known`, which may come to keep
/// derived keys; what `known` is not enough for is a failure in words for an operator (28000,
/// 28P01 for another SCRAM verifier).
task<login_result> log_in(
    leg& l,
    wait_point& point,
    const protocol::StartupMessage& startup,
    protocol::credentials& known,
    login_client* client,
    steady_time deadline
);

/// What a client has proved that it knows.
struct client_proof {
    protocol::credentials known;
    /// Not sent yet: the client has nothing to say to it, and what the backend says when it lets
    /// the client in goes with it in one packet.
    std::string owed;
};
using proof_result = boost::system::result<client_proof, login_failure>;

/// Asks a client who it is, all but AuthenticationOk. `early` as for login_client. What it sent is
/// overwritten.
task<proof_result> ask_client(
    stream& io,
    wait_point& point,
    std::vector<std::uint8_t>& early,
    protocol::login_challenge& challenge,
    steady_time deadline
);

}  // namespace pgsluice::proxy
