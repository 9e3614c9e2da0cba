// The client's half of a login at a server: answers each Authentication message with what is known
// of the user, or says why it cannot.

#include "protocol/auth/credentials.hpp"

#include "protocol/auth/md5_password.hpp"
#include "protocol/wire/messages.hpp"

namespace pgsluice::protocol {

namespace {

failure refuse(std::string message) {
    return {std::string(sqlstate::invalid_authorization), std::move(message), {}, {}};
}

failure out_of_order(std::string_view what) {
    return {
        std::string(sqlstate::protocol_violation),
        "the server sent " + std::string(what) + " out of order",
        {},
        {}};
}

bool offers(byte_view mechanisms, std::string_view which) {
    reader names(mechanisms);
    while (const auto name = names.cstring()) {
        if (name->empty())
            return false;
        if (*name == which)
            return true;
    }
    return false;
}

}  // namespace

credentials credentials::of(const user_secret& known) {
    credentials c;
    if (known.kind == secret_kind::plain)
        c.password = secret(known.text.view());
    if (known.kind == secret_kind::md5)
        c.md5 = secret(known.text.view());
    return c;
}

backend_login::backend_login(
    credentials& known,
    std::string user,
    std::string nonce,
    std::string end_point,
    channel_binding binding
)
    : known_(known), user_(std::move(user)),
      scram_(
          std::move(nonce),
          binding == channel_binding::disable ? std::string() : std::move(end_point)
      ),
      must_bind_(binding == channel_binding::require) {}

/// A SCRAM login goes on to where it is known whether it is bound; whatever else the server asks
/// for never is.
bool backend_login::lacks_binding(std::int32_t request) const noexcept {
    return must_bind_ && !is_bound_ && request != authentication::SASL;
}

result<std::string> backend_login::answer(byte_view body) {
    const auto request = decode_authentication(body);
    if (!request)
        return request.error();
    if (lacks_binding(request->code))
        return refuse(
            "the server lets role \"" + user_ +
            "\" in without channel binding, which is "
            "required"
        );
    switch (request->code) {
    case authentication::Ok:
        if (step_ != step::start && step_ != step::proved)
            return refuse("the server ended a SCRAM login without proving that it knows the role");
        return {boost::system::in_place_value, std::string()};
    case authentication::CleartextPassword:
        return step_ == step::start ? send_password() : out_of_order("AuthenticationCleartext");
    case authentication::MD5Password:
        return step_ == step::start ? send_md5(request->data) : out_of_order("AuthenticationMD5");
    case authentication::SASL:
        return step_ == step::start ? begin_scram(request->data)
                                    : out_of_order("AuthenticationSASL");
    case authentication::SASLContinue:
        return continue_scram(as_text(request->data));
    case authentication::SASLFinal: {
        if (step_ != step::client_final_sent)
            return out_of_order("AuthenticationSASLFinal");
        const auto proved = scram_.verify(as_text(request->data));
        if (!proved)
            return proved.error();
        step_ = step::proved;
        return {boost::system::in_place_value, std::string()};
    }
    case authentication::GSS:
    case authentication::SSPI:
        return cannot("GSSAPI");
    default:
        return cannot("an authentication that pgsluice does not know");
    }
}

failure backend_login::cannot(std::string_view asks) const {
    const std::string_view has = !known_.password.empty() ? "a password"
                                 : !known_.md5.empty()    ? "an md5 hash"
                                 : known_.keys            ? "a SCRAM key"
                                                          : "nothing";
    return refuse(
        "the server asks for " + std::string(asks) + ", and pgsluice has " + std::string(has) +
        " of role \"" + user_ + "\""
    );
}

result<std::string> backend_login::send_password() {
    if (known_.password.empty())
        return cannot("a cleartext password");
    step_ = step::proved;
    std::string message;
    encode_password_message(message, known_.password.view());
    return {boost::system::in_place_value, std::move(message)};
}

result<std::string> backend_login::send_md5(byte_view salt) {
    if (salt.size() != 4)
        return out_of_order("a malformed AuthenticationMD5Password");
    const secret hash =
        known_.password.empty() ? known_.md5 : md5_hash(known_.password.view(), user_);
    const secret response = hash.empty() ? secret() : md5_response(hash.view(), salt);
    if (response.empty())
        return cannot("an md5 password");
    step_ = step::proved;
    std::string message;
    encode_password_message(message, response.view());
    return {boost::system::in_place_value, std::move(message)};
}

result<std::string> backend_login::begin_scram(byte_view mechanisms) {
    const bool is_plus = scram_.can_bind() && offers(mechanisms, scram_plus_mechanism);
    if (must_bind_ && !is_plus)
        return refuse("the server offers no channel binding, which is required");
    is_bound_ = is_plus;
    if (!is_plus && !offers(mechanisms, scram_mechanism))
        return cannot("a SASL mechanism other than SCRAM-SHA-256");
    if (known_.password.empty() && !known_.keys)
        return cannot("SCRAM-SHA-256");
    step_ = step::client_first_sent;
    std::string message;
    encode_sasl_initial_response(
        message, is_plus ? scram_plus_mechanism : scram_mechanism, scram_.first(is_plus)
    );
    return {boost::system::in_place_value, std::move(message)};
}

result<std::string> backend_login::continue_scram(std::string_view server_first) {
    if (step_ != step::client_first_sent)
        return out_of_order("AuthenticationSASLContinue");
    const auto salt = scram_.challenge(server_first);
    if (!salt)
        return salt.error();
    if (!known_.keys || !(known_.keys->salt == *salt)) {
        if (known_.password.empty())
            return failure{
                std::string(sqlstate::invalid_password),
                "role \"" + user_ + "\" has not the SCRAM verifier there that it has here",
                "The salt is another one: its password was set separately, or the role is missing "
                "or expired there.",
                {}};
        auto derived = derive_scram_keys(known_.password.view(), *salt);
        if (!derived)
            return refuse(
                "the server asks for " + std::to_string(salt->iterations) +
                " SCRAM iterations, more than pgsluice computes (" +
                std::to_string(scram_iterations_max) + ")"
            );
        known_.keys = std::move(*derived);
    }
    step_ = step::client_final_sent;
    std::string message;
    encode_sasl_response(message, scram_.final(*known_.keys));
    return {boost::system::in_place_value, std::move(message)};
}

}  // namespace pgsluice::protocol
