// The server's half of a login: which request a client gets, and what its answers prove. The SCRAM
// messages themselves are in scram_exchange.cpp.

#include "protocol/auth/login_challenge.hpp"

#include "protocol/auth/md5_password.hpp"
#include "protocol/wire/messages.hpp"

namespace pgsluice::protocol {

namespace {

failure violation(std::string message, std::string detail = {}) {
    return {std::string(sqlstate::protocol_violation), std::move(message), std::move(detail), {}};
}

/// The best first.
std::span<const std::string_view> mechanisms(bool offers_plus) {
    static constexpr std::array known{scram_plus_mechanism, scram_mechanism};
    return std::span(known).subspan(offers_plus ? 0 : 1);
}

const user_secret& nobody() {
    static const user_secret none;
    return none;
}

}  // namespace

failure wrong_password(std::string_view user) {
    return {
        std::string(sqlstate::invalid_password),
        "password authentication failed for user \"" + std::string(user) + "\"",
        {},
        {}};
}

login_challenge::login_challenge(
    challenge_method method,
    const user_list& users,
    std::string user,
    challenge_entropy entropy,
    login_channel channel
)
    : user_(std::move(user)), entropy_(std::move(entropy)),
      offers_plus_(!channel.end_point.empty()) {
    const user_secret* const found = users.find(user_);
    const user_secret& secret_of = found != nullptr ? *found : nobody();
    known_ = credentials::of(secret_of);
    // Whoever has no secret is asked for what most are asked for.
    const bool asks_scram = method == challenge_method::scram_sha_256 ||
                            secret_of.kind == secret_kind::scram ||
                            (secret_of.kind == secret_kind::none && users.has_scram());
    if (asks_scram) {
        is_doomed_ = !secret_of.verifier;
        scram_.emplace(
            is_doomed_ ? users.mock_verifier(user_) : *secret_of.verifier,
            entropy_.nonce,
            std::move(channel.end_point)
        );
        stage_ = stage::sasl_initial;
    } else {
        is_doomed_ = known_.empty();
        md5_ = !known_.md5.empty() ? known_.md5 : md5_hash(known_.password.view(), user_);
    }
}

std::string login_challenge::request() const {
    std::string message;
    if (scram_)
        encode_authentication_sasl(message, mechanisms(offers_plus_));
    else
        encode_authentication_md5_password(message, entropy_.md5_salt);
    return message;
}

result<login_challenge::step> login_challenge::answer(byte_view body) {
    const stage now = std::exchange(stage_, stage::over);
    switch (now) {
    case stage::md5:
        return answer_md5(body);
    case stage::sasl_initial:
        return begin_scram(body);
    case stage::client_first:
        return scram_first(as_text(body));
    case stage::client_final:
        return scram_final(as_text(body));
    case stage::over:
        break;
    }
    return violation("unexpected password packet");
}

result<login_challenge::step> login_challenge::answer_md5(byte_view body) {
    const auto given = decode_password_message(body);
    if (!given)
        return violation("invalid password packet size");
    if (given->empty())
        return failure{
            std::string(sqlstate::invalid_password), "empty password returned by client", {}, {}};
    const secret wanted = md5_response(md5_.view(), entropy_.md5_salt);
    const bool is_right = same_secret(as_bytes(*given), as_bytes(wanted.view()));
    if (!is_right || is_doomed_ || wanted.empty())
        return wrong_password(user_);
    return step{{}, true};
}

result<login_challenge::step> login_challenge::begin_scram(byte_view body) {
    const auto initial = decode_sasl_initial_response(body);
    if (!initial)
        return initial.error();
    is_plus_ = offers_plus_ && initial->mechanism == scram_plus_mechanism;
    if (!is_plus_ && initial->mechanism != scram_mechanism)
        return violation("client selected an invalid SASL authentication mechanism");
    if (initial->data)
        return scram_first(as_text(*initial->data));
    stage_ = stage::client_first;
    step next;
    encode_authentication_sasl_data(next.to_send, authentication::SASLContinue, {});
    return next;
}

result<login_challenge::step> login_challenge::scram_first(std::string_view message) {
    const auto first = scram_->first(message, is_plus_);
    if (!first)
        return first.error();
    stage_ = stage::client_final;
    step next;
    encode_authentication_sasl_data(next.to_send, authentication::SASLContinue, *first);
    return next;
}

result<login_challenge::step> login_challenge::scram_final(std::string_view message) {
    auto ended = scram_->final(message);
    if (!ended)
        return ended.error();
    if (!*ended || is_doomed_)
        return wrong_password(user_);
    step last{{}, true};
    encode_authentication_sasl_data(
        last.to_send, authentication::SASLFinal, (*ended)->server_final
    );
    // A verifier made here of a plain password is nobody else's: its keys open nothing.
    if (known_.empty())
        known_.keys = std::move((*ended)->keys);
    return last;
}

}  // namespace pgsluice::protocol
