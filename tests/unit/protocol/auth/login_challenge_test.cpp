// Both ends of a login: how a client is challenged, and how a server is answered.

#include "protocol/auth/credentials.hpp"
#include "protocol/auth/login_challenge.hpp"
#include "protocol/auth/md5_password.hpp"
#include "protocol/wire/messages.hpp"
#include "tests/unit/protocol/wire/exact_bytes.hpp"

#include <gmock/gmock.h>

#include <string>

namespace pgsluice::protocol {
namespace {

using namespace std::literals;
using testing::HasSubstr;

constexpr auto md5_of_carol = "md57c53eaf86052083b816bfc7c7a6edf5d"sv;  // password "secret"

scram_verifier verifier_for(std::string_view password, std::uint8_t salt = 1) {
    return verifier_of(derive_scram_keys(password, {{salt, 2, 3, 4}, 16}).value());
}

user_list make_users() {
    user_list users;
    const std::string text = "\"scram\" \"" + to_text(verifier_for("secret")) +
                             "\"\n\"plain\" \"secret\"\n\"carol\" \"" + std::string(md5_of_carol) +
                             "\"\n\"none\" \"\"\n";
    EXPECT_TRUE(parse_userlist(text, users));
    users.derive_verifiers();
    return users;
}

const user_list& users() {
    static const user_list made = make_users();
    return made;
}

byte_view body_of(std::string_view message) {
    return as_bytes(message).subspan(5);
}

/// Lets `known` log in as `user` where `challenge` asks; what the client has at the end.
struct outcome {
    std::string error;
    bool is_in = false;
    credentials learned;
};

outcome log_in(login_challenge challenge, credentials known, const std::string& user) {
    backend_login client(known, user, "clientnonce");
    std::string to_client = challenge.request();
    while (true) {
        const auto answer = client.answer(exact_bytes(to_client.substr(5)).view());
        if (!answer)
            return {answer.error().sqlstate + " " + answer.error().message, false, {}};
        const auto next = challenge.answer(exact_bytes(answer->substr(5)).view());
        if (!next)
            return {next.error().sqlstate + " " + next.error().message, false, {}};
        to_client = next->to_send;
        if (next->is_done) {
            if (!to_client.empty()) {
                const auto last = client.answer(body_of(to_client));
                EXPECT_TRUE(last && last->empty()) << "the proof of the server";
            }
            std::string ok;
            encode_authentication_ok(ok);
            EXPECT_TRUE(client.answer(body_of(ok)));
            return {{}, true, challenge.take()};
        }
    }
}

login_challenge challenge_of(const std::string& user, challenge_method method) {
    return {method, users(), user, {"servernonce", {1, 2, 3, 4}}};
}

credentials with_password(std::string_view password) {
    credentials c;
    c.password = secret(password);
    return c;
}

constexpr auto scram = challenge_method::scram_sha_256;
constexpr auto md5 = challenge_method::md5;

TEST(LoginChallenge, RightPasswordIsLetIn) {
    for (const auto& [user, method] :
         {std::pair("scram", scram),
          std::pair("plain", scram),
          std::pair("scram", md5),
          std::pair("plain", md5),
          std::pair("carol", md5)}) {
        const auto in = log_in(challenge_of(user, method), with_password("secret"), user);
        EXPECT_TRUE(in.is_in) << user << ": " << in.error;
    }
}

TEST(LoginChallenge, WhoeverHasNoBusinessHereHearsTheSame) {
    for (const auto method : {scram, md5}) {
        for (const auto* user : {"scram", "plain", "none", "nobody"}) {
            const auto out = log_in(challenge_of(user, method), with_password("wrong"), user);
            EXPECT_FALSE(out.is_in);
            EXPECT_EQ(out.error, "28P01 password authentication failed for user \""s + user + "\"");
        }
    }
    const auto out = log_in(challenge_of("carol", scram), with_password("secret"), "carol");
    EXPECT_EQ(out.error, "28P01 password authentication failed for user \"carol\"");
    const auto empty = log_in(challenge_of("none", md5), with_password(""), "none");
    EXPECT_FALSE(empty.is_in);
}

TEST(LoginChallenge, LearnsWhatLogsInElsewhere) {
    const auto by_proof = log_in(challenge_of("scram", scram), with_password("secret"), "scram");
    ASSERT_TRUE(by_proof.learned.keys);
    EXPECT_TRUE(by_proof.learned.password.empty());
    EXPECT_TRUE(log_in(challenge_of("scram", scram), by_proof.learned, "scram").is_in);

    const auto plain = log_in(challenge_of("plain", scram), with_password("secret"), "plain");
    EXPECT_EQ(plain.learned.password.view(), "secret");
    EXPECT_FALSE(plain.learned.keys) << "the keys of a verifier that is only ours";

    const auto hash = log_in(challenge_of("carol", md5), with_password("secret"), "carol");
    EXPECT_EQ(hash.learned.md5.view(), md5_of_carol);
    EXPECT_TRUE(log_in(challenge_of("carol", md5), hash.learned, "carol").is_in);
}

TEST(LoginChallenge, WithoutInitialResponseTheClientSpeaksSecond) {
    auto challenge = challenge_of("scram", scram);
    const auto next = challenge.answer(as_bytes("SCRAM-SHA-256\0\xff\xff\xff\xff"sv));
    ASSERT_TRUE(next);
    EXPECT_EQ(next->to_send, message('R', "\0\0\0\x0b"sv));
    EXPECT_TRUE(challenge.answer(as_bytes("n,,n=,r=abc")));
}

TEST(LoginChallenge, MalformedAnswersAreErrorsAndEndTheLogin) {
    const struct {
        const char* user;
        challenge_method method;
        std::string_view answer;
        const char* why;
    } rows[] = {
        {"scram", scram, ""sv, "08P01"},
        {"scram", scram, "SCRAM-SHA-256"sv, "08P01"},
        {"scram", scram, "SCRAM-SHA-256\0"sv, "08P01"},
        {"scram", scram, "SCRAM-SHA-256\0\0\0\0"sv, "08P01"},
        {"scram", scram, "SCRAM-SHA-256\0\0\0\0\0"sv, "The message is empty"},
        {"scram", scram, "SCRAM-SHA-256\0\0\0\0\x0cn,,n=,r=abc"sv, "08P01"},
        {"scram", scram, "SCRAM-SHA-256\0\0\0\0\x0an,,n=,r=abc"sv, "08P01"},
        {"scram", scram, "SCRAM-SHA-256\0\x7f\xff\xff\xffn,,n=,r=abc"sv, "08P01"},
        {"scram", scram, "SCRAM-SHA-256\0\xff\xff\xff\xfen,,n=,r=abc"sv, "08P01"},
        {"scram", scram, "SCRAM-SHA-256\0\xff\xff\xff\xffn,,n=,r=abc"sv, "08P01"},
        {"scram", scram, "SCRAM-SHA-256-PLUS\0\0\0\0\x0bn,,n=,r=abc"sv, "invalid SASL"},
        {"scram", scram, "secret\0"sv, "08P01"},
        {"carol", md5, ""sv, "invalid password packet size"},
        {"carol", md5, "\0"sv, "28P01 empty password returned by client"},
        {"carol", md5, "md5"sv, "invalid password packet size"},
        {"carol", md5, "md57c53eaf86052083b816bfc7c7a6edf5d\0"sv, "28P01 password auth"},
        {"carol", md5, "secret\0"sv, "28P01 password auth"},
    };
    for (const auto& row : rows) {
        auto challenge = challenge_of(row.user, row.method);
        const auto next = challenge.answer(exact_bytes(row.answer).view());
        ASSERT_FALSE(next) << row.answer;
        const failure& why = next.error();
        EXPECT_THAT(why.sqlstate + " " + why.message + " " + why.detail, HasSubstr(row.why));
        EXPECT_FALSE(challenge.answer(as_bytes("x\0"sv))) << "over is over";
    }
}

TEST(LoginChallenge, ManyAnswersAfterTheEndAreRefused) {
    auto challenge = challenge_of("carol", md5);
    const secret right = md5_response(md5_of_carol, as_bytes("\x01\x02\x03\x04"));
    ASSERT_TRUE(challenge.answer(as_bytes(std::string(right.view()) + '\0')));
    EXPECT_FALSE(challenge.answer(as_bytes(std::string(right.view()) + '\0')));
}

// --- backend_login ------------------------------------------------------------------------------

std::string auth(std::int32_t code, std::string_view data = {}) {
    std::string message;
    encode_authentication_sasl_data(message, code, data);
    return message.substr(5);
}

/// What comes of one request after the messages in `before`.
std::string answer_of(credentials known, std::vector<std::string> requests) {
    backend_login login(known, "alice", "abc");
    std::string last;
    for (const std::string& request : requests) {
        const auto answer = login.answer(exact_bytes(request).view());
        if (!answer)
            return answer.error().sqlstate + " " + answer.error().message;
        last = *answer;
    }
    return last;
}

TEST(BackendLogin, AnswersWhatItCan) {
    EXPECT_EQ(answer_of({}, {auth(authentication::Ok)}), "");
    EXPECT_EQ(
        answer_of(with_password("pw"), {auth(authentication::CleartextPassword)}),
        message('p', "pw\0"sv)
    );
    const std::string by_password =
        answer_of(with_password("pw"), {auth(authentication::MD5Password, "abcd")});
    credentials hash;
    hash.md5 = md5_hash("pw", "alice");
    EXPECT_EQ(answer_of(hash, {auth(authentication::MD5Password, "abcd")}), by_password);
    EXPECT_THAT(
        answer_of(with_password("pw"), {auth(authentication::SASL, "X\0SCRAM-SHA-256\0\0"sv)}),
        HasSubstr("n,,n=,r=abc")
    );
}

TEST(BackendLogin, SaysWhatIsMissing) {
    credentials hash;
    hash.md5 = md5_hash("pw", "alice");
    credentials keys;
    keys.keys = derive_scram_keys("pw", {{1, 2, 3}, 4});
    const std::string sasl = auth(authentication::SASL, "SCRAM-SHA-256\0\0"sv);
    EXPECT_EQ(
        answer_of(hash, {sasl}),
        "28000 the server asks for SCRAM-SHA-256, and pgsluice has an md5 hash of role \"alice\""
    );
    EXPECT_THAT(answer_of({}, {sasl}), HasSubstr("has nothing of role \"alice\""));
    EXPECT_THAT(
        answer_of(keys, {auth(authentication::MD5Password, "abcd")}), HasSubstr("has a SCRAM key")
    );
    EXPECT_THAT(
        answer_of(keys, {auth(authentication::CleartextPassword)}), HasSubstr("cleartext password")
    );
    EXPECT_THAT(
        answer_of(keys, {auth(authentication::SASL, "SCRAM-SHA-256-PLUS\0\0"sv)}),
        HasSubstr("SASL mechanism other than")
    );
    EXPECT_THAT(answer_of(keys, {auth(authentication::GSS)}), HasSubstr("GSSAPI"));
    EXPECT_THAT(answer_of(keys, {auth(99)}), HasSubstr("does not know"));
    EXPECT_THAT(
        answer_of(keys, {sasl, auth(authentication::SASLContinue, "r=abcS,s=AQID,i=5")}),
        HasSubstr("28P01 role \"alice\" has not the SCRAM verifier there")
    );
    EXPECT_THAT(
        answer_of(
            with_password("x"),
            {sasl, auth(authentication::SASLContinue, "r=abcS,s=AQID,i=2000000000")}
        ),
        HasSubstr("more than pgsluice computes")
    );
}

TEST(BackendLogin, IsBoundAsItWasTold) {
    const std::string both = auth(authentication::SASL, "SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"sv);
    const std::string plain = auth(authentication::SASL, "SCRAM-SHA-256\0\0"sv);
    const auto answer = [](channel_binding binding,
                           const std::string& request,
                           const std::string& end_point = "hash") {
        credentials known = with_password("pw");
        backend_login login(known, "alice", "abc", end_point, binding);
        const auto said = login.answer(exact_bytes(request).view());
        return said ? *said : said.error().message;
    };
    using enum channel_binding;
    EXPECT_THAT(answer(prefer, both), HasSubstr("p=tls-server-end-point,,"));
    EXPECT_THAT(answer(prefer, plain), HasSubstr("y,,n=,r=abc"));
    EXPECT_THAT(answer(disable, both), HasSubstr("n,,n=,r=abc"));
    EXPECT_THAT(answer(require, both), HasSubstr("p=tls-server-end-point,,"));
    EXPECT_THAT(answer(require, plain), HasSubstr("offers no channel binding"));
    EXPECT_THAT(answer(require, both, ""), HasSubstr("offers no channel binding"));
    for (const std::string& other :
         {auth(authentication::Ok),
          auth(authentication::CleartextPassword),
          auth(authentication::MD5Password, "abcd")}) {
        EXPECT_THAT(answer(require, other), HasSubstr("without channel binding"));
    }
}

TEST(BackendLogin, ServerThatSkipsAStepIsRefused) {
    const auto known = with_password("pw");
    const std::string sasl = auth(authentication::SASL, "SCRAM-SHA-256\0\0"sv);
    const std::string first = auth(authentication::SASLContinue, "r=abcS,s=AQID,i=4");
    const std::string ok = auth(authentication::Ok);
    EXPECT_THAT(answer_of(known, {sasl, ok}), HasSubstr("without proving"));
    EXPECT_THAT(answer_of(known, {sasl, first, ok}), HasSubstr("without proving"));
    EXPECT_THAT(answer_of(known, {sasl, sasl}), HasSubstr("out of order"));
    EXPECT_THAT(answer_of(known, {first}), HasSubstr("out of order"));
    EXPECT_THAT(answer_of(known, {sasl, first, first}), HasSubstr("out of order"));
    EXPECT_THAT(
        answer_of(known, {sasl, auth(authentication::SASLFinal, "v=AAAA")}),
        HasSubstr("out of order")
    );
    EXPECT_THAT(
        answer_of(known, {sasl, first, auth(authentication::SASLFinal, "v=AAAA")}),
        HasSubstr("malformed SCRAM message")
    );
    EXPECT_THAT(
        answer_of(known, {sasl, auth(authentication::CleartextPassword)}), HasSubstr("out of order")
    );
    EXPECT_THAT(
        answer_of(known, {auth(authentication::MD5Password, "abc")}), HasSubstr("malformed")
    );
    EXPECT_THAT(answer_of(known, {"\0\0"s}), HasSubstr("08P01"));
}

TEST(BackendLogin, KeysAreDerivedOnceForOneSalt) {
    credentials known = with_password("secret");
    EXPECT_TRUE(log_in(challenge_of("scram", scram), known, "scram").is_in);
    backend_login login(known, "alice", "abc");
    ASSERT_TRUE(login.answer(as_bytes(auth(authentication::SASL, "SCRAM-SHA-256\0\0"sv))));
    ASSERT_TRUE(login.answer(as_bytes(auth(authentication::SASLContinue, "r=abcS,s=AQID,i=4"))));
    ASSERT_TRUE(known.keys);
    EXPECT_EQ(known.keys->salt, (scram_salt{{1, 2, 3}, 4}));
}

}  // namespace
}  // namespace pgsluice::protocol
