// Logins on both sides: a leg's at its backend, answered here or by the client, and a client's at
// the proxy.

#include "proxy/leg/login.hpp"

#include "protocol/auth/base64.hpp"
#include "protocol/wire/message_types.hpp"
#include "protocol/wire/messages.hpp"
#include "proxy/net/tls_channel.hpp"
#include "proxy/net/whole_message.hpp"

#include <openssl/rand.h>

#include <array>
#include <cerrno>
#include <optional>
#include <utility>

namespace pgsluice::proxy {

namespace {

constexpr std::size_t login_message_bytes_max = 64 * 1024;
constexpr std::size_t nonce_bytes = 18;  // as many as the server's own

failure broken_login(const std::string& what) {
    return {
        .sqlstate = std::string(sqlstate::connection_failure),
        .message = "the connection to the backend was lost during login",
        .detail = what,
        .hint = {}};
}

/// What the server itself would say; 57014 is query_canceled.
failure no_answer_in_time() {
    return {
        .sqlstate = "57014",
        .message = "canceling authentication due to timeout",
        .detail = "the client did not answer the request for its credentials in time",
        .hint = {}};
}

failure not_a_password(const char* what) {
    return {std::string(sqlstate::protocol_violation), what, {}, {}};
}

/// Whoever asks for channel binding, or could have it of this server, must not be let through
/// without.
failure no_channel_binding(const char* because) {
    return {
        std::string(sqlstate::invalid_authorization),
        "channel binding ends at pgsluice and cannot be relayed to the server",
        because,
        "Connect with channel_binding=disable, or have pgsluice ask for passwords "
        "(auth.method: scram-sha-256)."};
}

constexpr const char* asks_binding = "The client asks for SCRAM-SHA-256-PLUS.";
constexpr const char* requires_binding = "The backend's channel_binding is require.";
constexpr const char* knows_binding =
    "Client and server both support it (SCRAM-SHA-256-PLUS), each on a TLS connection of its own.";

failure error_of(byte_view body) {
    failure why{std::string(sqlstate::connection_failure), "login refused", {}, {}};
    protocol::reader fields(body);
    while (const auto code = fields.u8()) {
        const auto text = *code == 0 ? std::nullopt : fields.cstring();
        if (!text) {
            break;
        }
        if (*code == 'C') {
            why.sqlstate = *text;
        } else if (*code == 'M') {
            why.message = *text;
        }
    }
    return why;
}

/// A message that may be a secret is overwritten before it is forgotten.
void forget_front(std::vector<std::uint8_t>& bytes, std::size_t count) {
    protocol::wipe(bytes.data(), count);
    bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count));
}

using password_result = boost::system::result<whole_message, login_failure>;

/// The client's next message, which has to be a PasswordMessage (or one of those that share its
/// type); it stays in `early`.
task<password_result> next_password(
    stream& io, wait_point& point, std::vector<std::uint8_t>& early, steady_time deadline
) {
    bool broken = false;
    std::optional<whole_message> answer;
    while (!(answer = message_at(early, login_message_bytes_max, broken))) {
        if (broken) {
            co_return login_failure{not_a_password("invalid password packet")};
        }
        const io_result r = co_await read_more(io, point, early, deadline);
        if (r.error == ETIMEDOUT) {
            co_return login_failure{no_answer_in_time()};
        }
        if (!r.done()) {
            co_return login_failure{.why = {}, .client_gone = true};
        }
    }
    if (answer->type != protocol::frontend::PasswordMessage) {
        co_return login_failure{
            not_a_password("expected a password message during authentication")};
    }
    co_return *answer;
}

/// The state of one login; a class only to keep its steps apart.
class login_run {
public:
    login_run(leg& l, wait_point& point, login_client* client, steady_time deadline)
        : leg_(l), point_(point), client_(client), deadline_(deadline) {}

    task<login_result> run(const protocol::StartupMessage& startup, protocol::credentials& known);

private:
    task<login_result> take(whole_message m);
    task<login_result> authenticate(whole_message m);
    task<login_result> answer_request(byte_view body);
    task<login_result> relay_answer(std::int32_t request);
    void pass_mechanisms(whole_message m);
    const char* observe(byte_view answer, std::int32_t request);
    task<bool> flush_client();
    void pass_on(byte_view bytes);
    void pass_key(whole_message m);

    leg& leg_;
    wait_point& point_;
    login_client* client_;
    steady_time deadline_;
    std::optional<protocol::backend_login> own_answers_;
    std::vector<std::uint8_t> buffer_;
    std::vector<std::uint8_t> for_client_;
    bool ready_ = false;
    bool offered_binding_ = false;  ///< the server did; its client was not told
};

task<login_result>
login_run::run(const protocol::StartupMessage& startup, protocol::credentials& known) {
    if (client_ == nullptr || !client_->gives_answers) {
        own_answers_.emplace(
            known,
            std::string(startup.user()),
            login_nonce(),
            leg_.io.is_secure() ? leg_.io.tls()->end_point() : std::string(),
            leg_.binding
        );
    } else if (leg_.binding == protocol::channel_binding::require) {
        co_return login_failure{no_channel_binding(requires_binding)};
    }
    const io_result sent =
        co_await write_all(leg_.io, point_, protocol::as_bytes(startup.packet()), deadline_);
    if (!sent.done()) {
        co_return login_failure{broken_login(describe(sent))};
    }
    std::size_t at = 0;
    while (!ready_) {
        bool broken = false;
        const auto m = message_at(byte_view(buffer_).subspan(at), login_message_bytes_max, broken);
        if (broken) {
            co_return login_failure{broken_login("it sent bytes that are not the protocol")};
        }
        if (m) {
            auto taken = co_await take(*m);
            if (!taken) {
                co_return taken;
            }
            at += m->all.size();
            continue;
        }
        buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(at));
        at = 0;
        const bool flushed = co_await flush_client();
        if (!flushed) {
            co_return login_failure{.why = {}, .client_gone = true};
        }
        const io_result r = co_await read_more(leg_.io, point_, buffer_, deadline_);
        if (!r.done()) {
            co_return login_failure{broken_login(describe(r))};
        }
    }
    leg_.early.assign(buffer_.begin() + static_cast<std::ptrdiff_t>(at), buffer_.end());
    const bool flushed = co_await flush_client();
    if (!flushed) {
        co_return login_failure{.why = {}, .client_gone = true};
    }
    co_return login_result{};
}

task<login_result> login_run::take(whole_message m) {
    switch (m.type) {
    case protocol::backend::Authentication:
        co_return co_await authenticate(m);
    case protocol::backend::BackendKeyData:
        pass_key(m);
        co_return login_result{};
    case protocol::backend::ErrorResponse: {
        pass_on(m.all);
        bool told = false;
        if (client_ != nullptr) {
            told = co_await flush_client();
        }
        co_return login_failure{.why = error_of(m.body), .client_told = told};
    }
    case protocol::backend::ParameterStatus:
        leg_.record_status(m.body);
        break;
    case protocol::backend::ReadyForQuery:
        ready_ = true;
        break;
    default:
        break;
    }
    pass_on(m.all);
    co_return login_result{};
}

task<login_result> login_run::authenticate(whole_message m) {
    namespace code = protocol::authentication;
    if (m.body.size() < 4) {
        co_return login_failure{broken_login("malformed Authentication message")};
    }
    const std::int32_t request = protocol::load_i32(m.body.data());
    if (request != code::Ok) {
        leg_.asked_credentials = true;
    }
    if (own_answers_) {
        const auto answered = co_await answer_request(m.body);
        if (answered && request == code::Ok) {
            pass_on(m.all);
        }
        co_return answered;
    }
    if (request == code::SASL) {
        pass_mechanisms(m);
    } else {
        pass_on(m.all);
    }
    if (request == code::SASLContinue && client_->observer != nullptr) {
        client_->observer->server_first(protocol::as_text(m.body.subspan(4)));
    }
    if (request == code::Ok || request == code::SASLFinal) {
        co_return login_result{};
    }
    co_return co_await relay_answer(request);
}

task<login_result> login_run::answer_request(byte_view body) {
    auto answer = own_answers_->answer(body);
    if (!answer) {
        co_return login_failure{answer.error()};
    }
    if (answer->empty()) {
        co_return login_result{};
    }
    const io_result sent =
        co_await write_all(leg_.io, point_, protocol::as_bytes(*answer), deadline_);
    protocol::wipe(answer->data(), answer->size());
    if (!sent.done()) {
        co_return login_failure{broken_login(describe(sent))};
    }
    co_return login_result{};
}

/// One PasswordMessage, SASLInitialResponse, SASLResponse or GSSResponse from client to backend.
task<login_result> login_run::relay_answer(std::int32_t request) {
    const bool flushed = co_await flush_client();
    if (!flushed) {
        co_return login_failure{.why = {}, .client_gone = true};
    }
    const auto answer = co_await next_password(client_->io, point_, client_->early, deadline_);
    if (!answer) {
        co_return answer.error();
    }
    if (const char* const why_not = observe(answer->body, request)) {
        co_return login_failure{no_channel_binding(why_not)};
    }
    const io_result sent = co_await write_all(leg_.io, point_, answer->all, deadline_);
    forget_front(client_->early, answer->all.size());
    if (!sent.done()) {
        co_return login_failure{broken_login(describe(sent))};
    }
    co_return login_result{};
}

/// The server's mechanisms without those that bind to its own TLS connection: the client has
/// another one, or none.
void login_run::pass_mechanisms(whole_message m) {
    std::string names;
    protocol::reader list(m.body.subspan(4));
    for (auto name = list.cstring(); name && !name->empty(); name = list.cstring()) {
        if (name->ends_with("-PLUS")) {
            offered_binding_ = true;
        } else {
            names.append(*name).append(1, '\0');
        }
    }
    if (!offered_binding_) {
        pass_on(m.all);
        return;
    }
    std::string message;
    protocol::writer out(message);
    out.begin_message(protocol::backend::Authentication);
    out.i32(protocol::authentication::SASL);
    out.bytes(protocol::as_bytes(names));
    out.u8(0);
    out.end_message();
    pass_on(protocol::as_bytes(message));
}

/// Looks into an answer that is relayed. Why it must not be, or null. A client that could bind and
/// was not offered it says so (`y`), so that a server that did offer it refuses: RFC 5802, section
/// 6. The flag is part of what the proof is about, so nobody between them can change it.
const char* login_run::observe(byte_view answer, std::int32_t request) {
    protocol::scram_observer* const observer = client_->observer;
    if (request == protocol::authentication::SASL) {
        const auto initial = protocol::decode_sasl_initial_response(answer);
        if (!initial) {
            return nullptr;  // the backend will say what is wrong with it
        }
        const std::string_view first = initial->data ? protocol::as_text(*initial->data) : "";
        if (initial->mechanism.ends_with("-PLUS") || first.starts_with("p=")) {
            return asks_binding;
        }
        if (offered_binding_ && first.starts_with("y")) {
            return knows_binding;
        }
        if (observer != nullptr) {
            observer->client_first(first);
        }
    } else if (request == protocol::authentication::SASLContinue && observer != nullptr) {
        observer->client_final(protocol::as_text(answer));
    }
    return nullptr;
}

void login_run::pass_key(whole_message m) {
    if (m.body.size() < 4) {
        return;
    }
    leg_.pid = protocol::load_i32(m.body.data());
    leg_.key = protocol::as_text(m.body.subspan(4));
    if (client_ != nullptr) {
        pass_on(protocol::as_bytes(client_->give_key(leg_.pid, leg_.key)));
    }
}

void login_run::pass_on(byte_view bytes) {
    if (client_ == nullptr) {
        return;
    }
    if (client_->owed != nullptr && !client_->owed->empty()) {
        const std::string owed = std::exchange(*client_->owed, {});
        for_client_.insert(for_client_.end(), owed.begin(), owed.end());
    }
    for_client_.insert(for_client_.end(), bytes.begin(), bytes.end());
}

task<bool> login_run::flush_client() {
    if (client_ == nullptr || for_client_.empty()) {
        co_return true;
    }
    const io_result r = co_await write_all(client_->io, point_, for_client_, deadline_);
    for_client_.clear();
    co_return r.done();
}

}  // namespace

void throw_exception_from_error(const login_failure& f, const boost::source_location& where) {
    pgsluice::throw_exception_from_error(f.why, where);
}

std::string login_nonce() {
    std::array<std::uint8_t, nonce_bytes> random{};
    PGSLUICE_ASSERT(RAND_bytes(random.data(), static_cast<int>(random.size())) == 1);
    return protocol::encode_base64(random);
}

task<login_result> log_in(
    leg& l,
    wait_point& point,
    const protocol::StartupMessage& startup,
    protocol::credentials& known,
    login_client* client,
    steady_time deadline
) {
    login_run run(l, point, client, deadline);
    co_return co_await run.run(startup, known);
}

task<proof_result> ask_client(
    stream& io,
    wait_point& point,
    std::vector<std::uint8_t>& early,
    protocol::login_challenge& challenge,
    steady_time deadline
) {
    std::string to_send = challenge.request();
    for (;;) {
        const io_result sent = co_await write_all(io, point, protocol::as_bytes(to_send), deadline);
        if (!sent.done()) {
            co_return login_failure{.why = {}, .client_gone = true};
        }
        const auto answer = co_await next_password(io, point, early, deadline);
        if (!answer) {
            co_return answer.error();
        }
        auto next = challenge.answer(answer->body);
        forget_front(early, answer->all.size());
        if (!next) {
            co_return login_failure{next.error()};
        }
        to_send = std::move(next->to_send);
        if (next->is_done) {
            break;
        }
    }
    co_return client_proof{challenge.take(), std::move(to_send)};
}

}  // namespace pgsluice::proxy
