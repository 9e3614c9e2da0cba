#include "protocol/auth/base64.hpp"
#include "protocol/auth/scram.hpp"
#include "tests/unit/protocol/wire/exact_bytes.hpp"

#include <gmock/gmock.h>

#include <string>
#include <vector>

namespace pgsluice::protocol {
namespace {

using namespace std::literals;
using testing::HasSubstr;

// The example of RFC 7677, section 3.
constexpr auto rfc_client_nonce = "rOprNGfwEbeRWgbNEkqO"sv;
constexpr auto rfc_server_nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"sv;
constexpr auto rfc_salt = "W22ZaJ0SNY7soEsUEjb6gQ=="sv;
constexpr auto rfc_client_first = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"sv;
constexpr auto rfc_server_first =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"sv;
constexpr auto rfc_client_final = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                                  "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="sv;
constexpr auto rfc_server_final = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="sv;

// The verifier of the same password and salt, computed by Python's hashlib.
constexpr auto pencil_verifier =
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="sv;

scram_keys rfc_keys() {
    return derive_scram_keys("pencil", {*decode_base64(rfc_salt), 4096}).value();
}

scram_server rfc_server() {
    return {verifier_of(rfc_keys()), std::string(rfc_server_nonce)};
}

/// Why client-first-message is refused, in full.
std::string first_refused(std::string_view message) {
    const exact_bytes bytes(message);
    auto server = rfc_server();
    const auto answer = server.first(as_text(bytes.view()));
    return answer ? "accepted"
                  : answer.error().sqlstate + " " + answer.error().message + ": " +
                        answer.error().detail;
}

std::string final_refused(std::string_view message) {
    const exact_bytes bytes(message);
    auto server = rfc_server();
    EXPECT_TRUE(server.first(rfc_client_first));
    const auto answer = server.final(as_text(bytes.view()));
    if (answer)
        return *answer ? "accepted" : "wrong proof";
    return answer.error().sqlstate + " " + answer.error().message + ": " + answer.error().detail;
}

/// One exchange, each side with the hash it takes for the server's certificate; what it came to.
std::string exchange(const std::string& server_has, const std::string& client_has, bool is_plus) {
    scram_server server(verifier_of(rfc_keys()), "server", server_has);
    scram_client client("client", client_has);
    const auto challenge = server.first(client.first(is_plus), is_plus);
    if (!challenge)
        return challenge.error().message;
    EXPECT_TRUE(client.challenge(*challenge).has_value());
    const auto ended = server.final(client.final(rfc_keys()));
    if (!ended)
        return ended.error().message;
    if (!*ended)
        return "wrong proof";
    return client.verify((*ended)->server_final) ? "in" : "the server lied";
}

TEST(ScramPlus, BindsTheProofToTheCertificate) {
    const std::string hash("\0\xff,=n", 5);
    EXPECT_EQ(exchange(hash, hash, true), "in");
    EXPECT_EQ(exchange(hash, "another", true), "SCRAM channel binding check failed");
    EXPECT_EQ(exchange(hash, hash.substr(0, 4), true), "SCRAM channel binding check failed");
}

TEST(ScramPlus, AClientThatCouldBindAndWasNotOfferedItSaysSo) {
    EXPECT_EQ(exchange("", "hash", false), "in");
    EXPECT_EQ(exchange("hash", "hash", false), "SCRAM channel binding negotiation error");
    EXPECT_EQ(exchange("hash", "", false), "in");
}

TEST(Scram, ServerHasTheExampleOfTheRfc) {
    auto server = rfc_server();
    EXPECT_EQ(server.first(rfc_client_first).value(), rfc_server_first);
    const auto ended = server.final(rfc_client_final).value();
    ASSERT_TRUE(ended);
    EXPECT_EQ(ended->server_final, rfc_server_final);
    EXPECT_EQ(ended->keys.client_key, rfc_keys().client_key) << "learned from the proof";
    EXPECT_EQ(ended->keys.server_key, rfc_keys().server_key);
    EXPECT_EQ(ended->keys.salt, rfc_keys().salt);
}

TEST(Scram, ObserverLearnsTheKeyOfTheExampleOfTheRfc) {
    scram_observer observer(verifier_of(rfc_keys()));
    EXPECT_FALSE(observer.learned());
    observer.client_first(rfc_client_first);
    observer.server_first(rfc_server_first);
    EXPECT_FALSE(observer.learned());
    observer.client_final(rfc_client_final);
    ASSERT_TRUE(observer.learned());
    EXPECT_EQ(observer.learned()->client_key, rfc_keys().client_key);
}

TEST(Scram, ObserverLearnsNothingFromAnotherVerifiersExchange) {
    auto other = verifier_of(rfc_keys());
    other.stored_key.bytes[7] ^= 1U;
    scram_observer stranger(other);
    for (const std::string_view garbage : {""sv, ","sv, "n"sv, "n,,"sv, ",p="sv, "c=biws,p=A"sv}) {
        stranger.client_first(garbage);
        stranger.server_first(garbage);
        stranger.client_final(garbage);
        EXPECT_FALSE(stranger.learned());
    }
    stranger.client_first(rfc_client_first);
    stranger.server_first(rfc_server_first);
    stranger.client_final(rfc_client_final);
    EXPECT_FALSE(stranger.learned());
}

TEST(Scram, ClientAndServerAgree) {
    scram_client client("abc");
    auto server = rfc_server();
    const auto first = server.first(client.first()).value();
    EXPECT_EQ(client.challenge(first).value(), rfc_keys().salt);
    const auto ended = server.final(client.final(rfc_keys())).value();
    ASSERT_TRUE(ended);
    EXPECT_EQ(ended->keys.client_key, rfc_keys().client_key);
    EXPECT_TRUE(client.verify(ended->server_final));
    EXPECT_FALSE(client.verify(rfc_server_final)) << "signature of another exchange";
}

TEST(Scram, LearnedKeyLogsInWithoutPassword) {
    auto server = rfc_server();
    ASSERT_TRUE(server.first(rfc_client_first));
    const scram_keys learned = server.final(rfc_client_final).value()->keys;
    scram_client client("another");
    scram_server elsewhere(verifier_of(rfc_keys()), "fresh");
    ASSERT_TRUE(client.challenge(elsewhere.first(client.first()).value()));
    EXPECT_TRUE(elsewhere.final(client.final(learned)).value().has_value());
}

TEST(Scram, WrongPasswordIsAWrongProof) {
    scram_client client("abc");
    auto server = rfc_server();
    const auto salt = client.challenge(server.first(client.first()).value()).value();
    const auto wrong = derive_scram_keys("pencils", salt).value();
    EXPECT_FALSE(server.final(client.final(wrong)).value().has_value());
}

TEST(Scram, EveryChangedByteOfAMessageIsRefused) {
    for (std::size_t i = 0; i < rfc_client_final.size(); ++i) {
        std::string message(rfc_client_final);
        message[i] = message[i] == 'A' ? 'B' : 'A';
        EXPECT_NE(final_refused(message), "accepted") << message;
    }
}

TEST(Scram, NoMessageMayBeCut) {
    for (std::size_t size = 0; size + 2 < rfc_client_first.size() - rfc_client_nonce.size(); ++size)
        EXPECT_NE(first_refused(rfc_client_first.substr(0, size)), "accepted") << size;
    for (std::size_t size = 0; size < rfc_client_final.size(); ++size)
        EXPECT_NE(final_refused(rfc_client_final.substr(0, size)), "accepted") << size;
    for (std::size_t size = 0; size < rfc_server_first.size(); ++size) {
        scram_client client{std::string(rfc_client_nonce)};
        client.first();
        const exact_bytes bytes(rfc_server_first.substr(0, size));
        const auto salt = client.challenge(as_text(bytes.view()));
        EXPECT_TRUE(!salt || salt->iterations < 4096) << size;
    }
    scram_client client("abc");
    auto server = rfc_server();
    ASSERT_TRUE(client.challenge(server.first(client.first()).value()));
    const std::string last = server.final(client.final(rfc_keys())).value()->server_final;
    for (std::size_t size = 0; size < last.size(); ++size)
        EXPECT_FALSE(client.verify(as_text(exact_bytes(last.substr(0, size)).view()))) << size;
}

TEST(Scram, RefusesClientFirstMessagesAsTheServerDoes) {
    const struct {
        std::string_view message;
        const char* why;
    } rows[] = {
        {"", "08P01 malformed SCRAM message: The message is empty."},
        {"p=tls-server-end-point,,n=,r=x", "08P01 malformed SCRAM message: The client selected"},
        {"x,,n=,r=x", "Unexpected channel-binding flag."},
        {"n", "Comma expected"},
        {"nn,n=,r=x", "Comma expected"},
        {"n,a=admin,n=,r=x", "0A000 client uses authorization identity"},
        {"n,x,n=,r=x", "Unexpected attribute"},
        {"n,,m=x,n=,r=x", "0A000 client requires an unsupported SCRAM extension"},
        {"n,,r=x", "Attribute \"n\" or \"r\" is missing"},
        {"n,,n=user", "Attribute \"n\" or \"r\" is missing"},
        {"n,,n=user,s=x", "Attribute \"n\" or \"r\" is missing"},
        {"n,,n=,r=", "Non-printable characters in SCRAM nonce."},
        {"n,,n=,r=a b", "Non-printable characters in SCRAM nonce."},
        {"n,,n=,r=a\x7f", "Non-printable characters in SCRAM nonce."},
        {"n,,n=,r=a\0b"sv, "Message length does not match input length."},
        {"n,,n=,r=a,1=x", "Attribute expected"},
        {"n,,n=,r=a,x", "Attribute expected"},
    };
    for (const auto& row : rows)
        EXPECT_THAT(first_refused(row.message), HasSubstr(row.why)) << row.message;
    EXPECT_EQ(first_refused("y,,n=,r=a"), "accepted") << "we offer no channel binding";
    EXPECT_EQ(first_refused("n,,n=,r=a,x=optional"), "accepted");
}

TEST(Scram, BoundsWhatIsRead) {
    const std::string head = "n,,n=,r=";
    const std::string longest(scram_message_bytes_max - head.size(), 'x');
    EXPECT_EQ(first_refused(head + longest), "accepted");
    EXPECT_THAT(first_refused(head + longest + "x"), HasSubstr("longer than 1024 bytes"));
    EXPECT_THAT(first_refused(std::string(1U << 20, 'n')), HasSubstr("longer than 1024 bytes"));

    scram_client client("abc");
    client.first();
    const auto nonce = client.challenge("r=abc" + std::string(65536, 'x') + ",s=AAAA,i=4096");
    EXPECT_FALSE(nonce) << "CVE-2026-6665: a server's nonce of any length";
}

TEST(Scram, RefusesClientFinalMessagesAsTheServerDoes) {
    const std::string nonce = std::string(rfc_client_nonce) + std::string(rfc_server_nonce);
    const std::string proof = ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    const struct {
        std::string message;
        const char* why;
    } rows[] = {
        {"", "The message is empty."},
        {"c=biws,r=" + nonce, "Attribute \"p\" is missing"},
        {"r=" + nonce + proof, "Attribute \"c\" or \"r\" is missing"},
        {"c=biws" + proof, "Attribute \"c\" or \"r\" is missing"},
        {"c=eSws,r=" + nonce + proof, "Unexpected channel-binding attribute"},
        {"c=biws,r=" + nonce + ",p=dHzb", "Malformed proof"},
        {"c=biws,r=" + nonce + ",p=", "Malformed proof"},
        {"c=biws,r=" + nonce + ",p=!" + proof.substr(4), "Malformed proof"},
        {"c=biws,r=" + nonce + ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVR=", "Malformed"},
        {"c=biws,r=" + nonce + proof + ",x=y", "Attribute \"p\" is missing at the end"},
        {"c=biws,r=" + nonce + "x" + proof, "08P01 invalid SCRAM response: Nonce does not match."},
        {"c=biws,r=" + std::string(rfc_client_nonce) + proof, "Nonce does not match."},
        {"c=biws,r=" + nonce + ",?" + proof, "Attribute expected"},
    };
    for (const auto& row : rows)
        EXPECT_THAT(final_refused(row.message), HasSubstr(row.why)) << row.message;
    EXPECT_EQ(final_refused("c=biws,r=" + nonce + ",x=y" + proof), "wrong proof")
        << "an extension is allowed, and belongs to what is proved";
}

TEST(Scram, ClientRefusesWhatNoServerSends) {
    const std::string_view rows[] = {
        ""sv,
        "r=abcS"sv,
        "r=abcS,s=AAAA"sv,
        "s=AAAA,r=abcS,i=4096"sv,
        "r=abc,s=AAAA,i=4096"sv,   // adds nothing to our nonce
        "r=xbcS,s=AAAA,i=4096"sv,  // not ours
        "r=abcS\x01,s=AAAA,i=4096"sv,
        "r=abcS,s=,i=4096"sv,
        "r=abcS,s=AAA,i=4096"sv,
        "r=abcS,s=AA==AAAA,i=4096"sv,
        "r=abcS,s=A A=,i=4096"sv,
        "r=abcS,s=AAAA,i=0"sv,
        "r=abcS,s=AAAA,i=-1"sv,
        "r=abcS,s=AAAA,i="sv,
        "r=abcS,s=AAAA,i=4096x"sv,
        "r=abcS,s=AAAA,i=99999999999999999999"sv,
        "r=abcS,s=AAAA,i=4096,m=mandatory"sv,
        "r=abcS,s=AAAA,i=4096,?"sv,
        "e=other-error"sv,
    };
    for (const std::string_view row : rows) {
        scram_client client("abc");
        client.first();
        const auto salt = client.challenge(as_text(exact_bytes(row).view()));
        ASSERT_FALSE(salt) << row;
        EXPECT_EQ(salt.error().sqlstate, "08P01");
    }
    scram_client client("abc");
    client.first();
    ASSERT_TRUE(client.challenge("r=abcS,s=AAAA,i=4096,x=optional"));
    client.final(rfc_keys());
    EXPECT_FALSE(client.verify("e=invalid-proof"));
    EXPECT_FALSE(client.verify("v=AAAA"));
    EXPECT_FALSE(client.verify(""));
}

TEST(Scram, IterationsThatWouldTakeForeverAreNotComputed) {
    EXPECT_FALSE(derive_scram_keys("x", {{1, 2, 3}, 0}));
    EXPECT_FALSE(derive_scram_keys("x", {{1, 2, 3}, scram_iterations_max + 1}));
    EXPECT_FALSE(derive_scram_keys("x", {{1, 2, 3}, 0xFFFFFFFF}));
    EXPECT_TRUE(derive_scram_keys("x", {{1, 2, 3}, 1}));
}

TEST(ScramVerifier, IsReadAndWrittenAsTheServerDoes) {
    const auto verifier = parse_scram_verifier(pencil_verifier);
    ASSERT_TRUE(verifier);
    EXPECT_EQ(verifier->salt.iterations, 4096u);
    EXPECT_EQ(verifier->salt.bytes, *decode_base64(rfc_salt));
    EXPECT_EQ(to_text(*verifier), pencil_verifier);
    EXPECT_EQ(to_text(verifier_of(rfc_keys())), pencil_verifier);
}

TEST(ScramVerifier, RefusesEverythingElse) {
    for (std::size_t size = 0; size < pencil_verifier.size(); ++size)
        EXPECT_FALSE(
            parse_scram_verifier(as_text(exact_bytes(pencil_verifier.substr(0, size)).view()))
        );
    const auto changed = [](std::string_view what, std::string_view with) {
        std::string text(pencil_verifier);
        return text.replace(text.find(what), what.size(), with);
    };
    for (const std::string& text :
         {changed("SHA-256", "SHA-512"),
          changed("4096", "0"),
          changed("4096", ""),
          changed("4096", "-4096"),
          changed("4096", "4096 "),
          changed("4096", "2147483648"),
          changed("W22ZaJ0SNY7soEsUEjb6gQ==", ""),
          changed("W22ZaJ0SNY7soEsUEjb6gQ==", "W22ZaJ0SNY7soEsUEjb6gQ="),
          changed("W22ZaJ0SNY7soEsUEjb6gQ==", std::string(1024, 'A')),
          changed("WG5d", "WG5"),
          changed("wfPL", "wfPLAAAA"),
          changed("wfPL", "wf:L")})
        EXPECT_FALSE(parse_scram_verifier(text)) << text;
}

TEST(Base64, DecodesWhatItEncodesAndNothingElse) {
    const std::pair<std::string_view, std::string_view> rows[] = {
        // RFC 4648, section 10
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };
    for (const auto& [plain, coded] : rows) {
        EXPECT_EQ(encode_base64(as_bytes(plain)), coded);
        EXPECT_EQ(as_text(*decode_base64(coded)), plain);
    }
    for (const std::string_view text :
         {"Z"sv,
          "Zg"sv,
          "Zg="sv,
          "Zh=="sv,
          "Zm9="sv,
          "Zg==Zg=="sv,
          "Z==="sv,
          "===="sv,
          "Zm 9"sv,
          "Zm9v\n"sv,
          "Zm9-"sv,
          "Zm9\0"sv})
        EXPECT_FALSE(decode_base64(text)) << text;
}

}  // namespace
}  // namespace pgsluice::protocol
