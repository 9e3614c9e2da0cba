// The messages of an exchange, RFC 5802 section 7. Client and server are PostgreSQL's in what they
// accept and how they refuse; auth-scram.c of the server is where the texts come from.
//
//   client-first  = gs2-header client-first-bare     gs2-header = ("n" | "y") "," [authzid] ","
//   server-first  = "r=" nonce ",s=" salt ",i=" iterations *("," extension)
//   client-final  = without-proof ",p=" proof        without-proof = "c=" cbind ",r=" nonce *(…)
//   server-final  = "v=" signature | "e=" error

#include "protocol/auth/base64.hpp"
#include "protocol/auth/scram.hpp"

#include <algorithm>
#include <charconv>

namespace pgsluice::protocol {

namespace {

failure malformed(std::string detail) {
    return {
        std::string(sqlstate::protocol_violation),
        "malformed SCRAM message",
        std::move(detail),
        {}};
}

failure unsupported(std::string message) {
    return {std::string(sqlstate::feature_not_supported), std::move(message), {}, {}};
}

bool is_printable(std::string_view nonce) {
    return std::ranges::all_of(nonce, [](char c) { return c >= 0x21 && c <= 0x7e && c != ','; });
}

struct attribute {
    char name = 0;
    std::string_view value;
};

/// Takes `x=value` and the comma behind it off the front.
std::optional<attribute> take_attribute(std::string_view& text) {
    const auto is_letter = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    };
    if (text.size() < 2 || !is_letter(text[0]) || text[1] != '=')
        return std::nullopt;
    const auto end = std::min(text.find(','), text.size());
    const attribute found{text[0], text.substr(2, end - 2)};
    text.remove_prefix(std::min(end + 1, text.size()));
    return found;
}

/// The same, but it has to be the one with this name.
std::optional<std::string_view> take_attribute(std::string_view& text, char name) {
    const auto found = take_attribute(text);
    return found && found->name == name ? std::optional(found->value) : std::nullopt;
}

/// What precedes the proof, and the proof; nullopt unless the message ends in one.
struct final_parts {
    std::string_view without_proof;
    std::string_view proof;
};
std::optional<final_parts> split_final(std::string_view message) {
    const auto at = message.rfind(",p=");
    if (at == std::string_view::npos || message.find(',', at + 1) != std::string_view::npos)
        return std::nullopt;
    return final_parts{message.substr(0, at), message.substr(at + 3)};
}

result<void> check_size(std::string_view message) {
    if (message.empty())
        return malformed("The message is empty.");
    if (message.size() > scram_message_bytes_max)
        return malformed("The message is longer than 1024 bytes.");
    if (message.find('\0') != std::string_view::npos)
        return malformed("Message length does not match input length.");
    return {};
}

constexpr std::string_view plus_header = "p=tls-server-end-point,,";

/// The header of a client that has chosen channel binding.
result<std::string_view> take_plus_header(std::string_view& message) {
    if (message[0] == 'n' || message[0] == 'y')
        return malformed("The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not "
                         "include channel binding data.");
    if (message[0] != 'p')
        return malformed("Unexpected channel-binding flag.");
    const std::string_view type = message.substr(0, message.find(','));
    if (!plus_header.starts_with(std::string(type) + ",")) {
        return failure{
            std::string(sqlstate::protocol_violation),
            "unsupported SCRAM channel-binding type",
            {},
            {}};
    }
    if (message.substr(type.size()).starts_with(",a="))
        return unsupported("client uses authorization identity, but it is not supported");
    if (!message.starts_with(plus_header))
        return malformed("Unexpected attribute in client-first-message.");
    message.remove_prefix(plus_header.size());
    return plus_header;
}

/// Takes the gs2-header off the front; yields it for the client's final message to repeat.
/// `is_offered`: the client could have chosen channel binding, and has not.
result<std::string_view> take_gs2_header(std::string_view& message, bool is_offered) {
    const std::string_view whole = message;
    if (message[0] == 'y' && is_offered)
        return failure{
            std::string(sqlstate::invalid_authorization),
            "SCRAM channel binding negotiation error",
            "The client supports SCRAM channel binding but thinks the server does not.  However, "
            "this server does support channel binding.",
            {}};
    if (message[0] == 'p')
        return malformed("The client selected SCRAM-SHA-256 without channel binding, but the SCRAM "
                         "message includes channel binding data.");
    if (message[0] != 'n' && message[0] != 'y')
        return malformed("Unexpected channel-binding flag.");
    if (message.size() < 3 || message[1] != ',')
        return malformed("Comma expected, but found something else.");
    if (message[2] == 'a')
        return unsupported("client uses authorization identity, but it is not supported");
    if (message[2] != ',')
        return malformed("Unexpected attribute in client-first-message.");
    message.remove_prefix(3);
    return whole.substr(0, 3);
}

}  // namespace

scram_server::scram_server(scram_verifier verifier, std::string nonce, std::string end_point)
    : verifier_(std::move(verifier)), nonce_(std::move(nonce)), end_point_(std::move(end_point)) {
    PGSLUICE_ASSERT(!nonce_.empty() && is_printable(nonce_));
}

result<std::string> scram_server::first(std::string_view client_first, bool is_plus) {
    PGSLUICE_ASSERT(auth_message_.empty() && (!is_plus || !end_point_.empty()));
    if (auto fits = check_size(client_first); !fits)
        return fits.error();
    const auto header = is_plus ? take_plus_header(client_first)
                                : take_gs2_header(client_first, !end_point_.empty());
    if (!header)
        return header.error();
    const std::string_view bare = client_first;
    if (bare.starts_with("m="))
        return unsupported("client requires an unsupported SCRAM extension");
    const auto user = take_attribute(client_first, 'n');  // ignored: the startup packet says it
    const auto nonce = take_attribute(client_first, 'r');
    if (!user || !nonce)
        return malformed("Attribute \"n\" or \"r\" is missing in client-first-message.");
    if (nonce->empty() || !is_printable(*nonce))
        return malformed("Non-printable characters in SCRAM nonce.");
    while (!client_first.empty()) {
        if (!take_attribute(client_first))
            return malformed("Attribute expected, but found something else.");
    }
    is_plus_ = is_plus;
    const std::string bound = std::string(*header) + (is_plus ? end_point_ : "");
    cbind_ = encode_base64(as_bytes(bound));
    nonce_ = std::string(*nonce) + nonce_;
    std::string answer = "r=" + nonce_ + ",s=" + encode_base64(verifier_.salt.bytes) +
                         ",i=" + std::to_string(verifier_.salt.iterations);
    auth_message_ = std::string(bare) + "," + answer + ",";
    return {boost::system::in_place_value, std::move(answer)};
}

result<std::optional<scram_server::success>> scram_server::final(std::string_view client_final) {
    PGSLUICE_ASSERT(!auth_message_.empty());
    if (auto fits = check_size(client_final); !fits)
        return fits.error();
    const auto parts = split_final(client_final);
    if (!parts)
        return malformed("Attribute \"p\" is missing at the end of client-final-message.");
    std::string_view rest = parts->without_proof;
    const auto cbind = take_attribute(rest, 'c');
    const auto nonce = take_attribute(rest, 'r');
    if (!cbind || !nonce)
        return malformed("Attribute \"c\" or \"r\" is missing in client-final-message.");
    if (!same_secret(as_bytes(*cbind), as_bytes(cbind_))) {
        if (is_plus_)
            return failure{
                std::string(sqlstate::invalid_authorization),
                "SCRAM channel binding check failed",
                {},
                {}};
        return malformed("Unexpected channel-binding attribute in client-final-message.");
    }
    while (!rest.empty()) {
        if (!take_attribute(rest))
            return malformed("Attribute expected, but found something else.");
    }
    const auto proof = decode_base64(parts->proof);
    if (!proof || proof->size() != secret_key::size)
        return malformed("Malformed proof in client-final-message.");
    if (!same_secret(as_bytes(*nonce), as_bytes(nonce_)))
        return failure{
            std::string(sqlstate::protocol_violation),
            "invalid SCRAM response",
            "Nonce does not match.",
            {}};
    auth_message_ += parts->without_proof;
    const auto client_key = recover_client_key(verifier_.stored_key, auth_message_, *proof);
    if (!client_key)
        return std::optional<success>();
    const secret_key signature = hmac_sha256(verifier_.server_key.view(), auth_message_);
    return std::optional(success{
        "v=" + encode_base64(signature.view()), {*client_key, verifier_.server_key, verifier_.salt}}
    );
}

std::string scram_client::first(bool is_plus) {
    PGSLUICE_ASSERT(!nonce_.empty() && is_printable(nonce_) && (!is_plus || can_bind()));
    const std::string header(is_plus ? plus_header : can_bind() ? "y,," : "n,,");
    const std::string bound = header + (is_plus ? end_point_ : "");
    cbind_ = encode_base64(as_bytes(bound));
    auth_message_ = "n=,r=" + nonce_;
    return header + auth_message_;
}

result<scram_salt> scram_client::challenge(std::string_view server_first) {
    if (auto fits = check_size(server_first); !fits)
        return fits.error();
    std::string_view rest = server_first;
    const auto nonce = take_attribute(rest, 'r');
    const auto salt = take_attribute(rest, 's');
    const auto iterations = take_attribute(rest, 'i');
    if (!nonce || !salt || !iterations)
        return malformed("Attribute \"r\", \"s\" or \"i\" is missing in server-first-message.");
    if (!nonce->starts_with(nonce_) || nonce->size() == nonce_.size() || !is_printable(*nonce))
        return malformed("The server's nonce does not continue ours.");
    auto bytes = decode_base64(*salt);
    if (!bytes || bytes->empty())
        return malformed("Malformed salt in server-first-message.");
    scram_salt wanted{std::move(*bytes), 0};
    const char* const end = iterations->data() + iterations->size();
    const auto parsed = std::from_chars(iterations->data(), end, wanted.iterations);
    if (parsed.ec != std::errc{} || parsed.ptr != end || wanted.iterations == 0)
        return malformed("Malformed iteration count in server-first-message.");
    while (!rest.empty()) {
        const auto extension = take_attribute(rest);
        if (!extension || extension->name == 'm')
            return malformed("Unexpected attribute in server-first-message.");
    }
    nonce_ = *nonce;
    auth_message_.append(",").append(server_first).append(",");
    return {boost::system::in_place_value, std::move(wanted)};
}

std::string scram_client::final(const scram_keys& keys) {
    std::string message = "c=" + cbind_ + ",r=" + nonce_;
    auth_message_ += message;
    server_key_ = keys.server_key;
    secret_key proof = hmac_sha256(sha256(keys.client_key.view()).view(), auth_message_);
    for (std::size_t i = 0; i < proof.bytes.size(); ++i)
        proof.bytes[i] = static_cast<std::uint8_t>(proof.bytes[i] ^ keys.client_key.bytes[i]);
    return message + ",p=" + encode_base64(proof.view());
}

result<void> scram_client::verify(std::string_view server_final) const {
    if (auto fits = check_size(server_final); !fits)
        return fits.error();
    std::string_view rest = server_final;
    const auto signature = take_attribute(rest, 'v');
    if (!signature)
        return malformed("The server's final message has no signature.");
    const auto bytes = decode_base64(*signature);
    const secret_key wanted = hmac_sha256(server_key_.view(), auth_message_);
    if (!bytes || !same_secret(*bytes, wanted.view()))
        return malformed("The server's signature is wrong: it does not know the verifier.");
    return {};
}

void scram_observer::client_first(std::string_view message) {
    // Behind the second comma: there may be an authorization identity.
    const auto flag = message.find(',');
    const auto header = flag == std::string_view::npos ? flag : message.find(',', flag + 1);
    if (header != std::string_view::npos)
        client_first_bare_ = message.substr(header + 1);
}

void scram_observer::server_first(std::string_view message) {
    server_first_ = message;
}

void scram_observer::client_final(std::string_view message) {
    client_final_ = message;
}

std::optional<scram_keys> scram_observer::learned() const {
    const auto parts = split_final(client_final_);
    const auto proof = parts ? decode_base64(parts->proof) : std::nullopt;
    if (!proof)
        return std::nullopt;
    const std::string auth_message =
        client_first_bare_ + "," + server_first_ + "," + std::string(parts->without_proof);
    const auto key = recover_client_key(verifier_.stored_key, auth_message, *proof);
    if (!key)
        return std::nullopt;
    return scram_keys{*key, verifier_.server_key, verifier_.salt};
}

}  // namespace pgsluice::protocol
