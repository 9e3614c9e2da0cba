#include "protocol/auth/md5_password.hpp"
#include "protocol/auth/saslprep.hpp"
#include "protocol/auth/userlist.hpp"
#include "tests/unit/protocol/wire/exact_bytes.hpp"

#include <gmock/gmock.h>

#include <string>

namespace pgsluice::protocol {
namespace {

using namespace std::literals;
using testing::HasSubstr;
using testing::Not;

constexpr auto verifier =
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="sv;

std::string problem_of(std::string_view text) {
    user_list users;
    const auto read = parse_userlist(as_text(exact_bytes(text).view()), users);
    return read ? "" : read.error().message;
}

TEST(Userlist, ReadsEveryKindOfSecret) {
    user_list users;
    const std::string text = "; comment\n\n"
                             "\"alice\" \"" +
                             std::string(verifier) +
                             "\"\n"
                             "\t \"bob\"\t\"md57c53eaf86052083b816bfc7c7a6edf5d\" anything else\r\n"
                             "\"carol\" \"se\"\"cr;et\" \"third\"\n"
                             "\"with \"\"quotes\"\" and spaces\" \"md5tooshort\"\n"
                             "\"nobody\" \"\"";
    const auto read = parse_userlist(text, users);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(users.size(), 5u);
    EXPECT_TRUE(users.has_scram());
    ASSERT_NE(users.find("alice"), nullptr);
    EXPECT_EQ(users.find("alice")->kind, secret_kind::scram);
    EXPECT_EQ(to_text(*users.find("alice")->verifier), verifier);
    EXPECT_EQ(users.find("bob")->kind, secret_kind::md5);
    EXPECT_EQ(users.find("carol")->kind, secret_kind::plain);
    EXPECT_EQ(users.find("carol")->text.view(), "se\"cr;et");
    EXPECT_EQ(users.find("with \"quotes\" and spaces")->kind, secret_kind::plain);
    EXPECT_EQ(users.find("nobody")->kind, secret_kind::none);
    EXPECT_EQ(users.find("Alice"), nullptr);
    EXPECT_EQ(users.find(""), nullptr);
}

TEST(Userlist, NamesLineAndColumnOfWhatIsWrong) {
    const std::pair<std::string_view, const char*> rows[] = {
        {"alice secret", "1:1: expected a user's name in double quotes"},
        {"\n  alice", "2:3: expected a user's name in double quotes"},
        {"\"alice", "1:1: the quote that opens a user's name is not closed"},
        {"\"alice\nbob\" \"x\"", "1:1: the quote that opens a user's name is not closed"},
        {"\"alice\"", "1:8: expected the password or its hash in double quotes"},
        {"\"alice\" secret", "1:9: expected the password or its hash in double quotes"},
        {"\"alice\" \"secret", "1:9: the quote that opens the password or its hash is not closed"},
        {"\"alice\" \"secret\"\"", "1:9: the quote that opens"},
        {"\"\" \"x\"", "1:1: the user's name is empty"},
        {"\"a\" \"x\"\n \"a\" \"y\"", "2:2: user \"a\" is listed twice"},
        {"\"a\" \"SCRAM-SHA-256$4096:x\"", "1:5: expected SCRAM-SHA-256$ITERATIONS:SALT$"},
        {"\"a\" \"x\0y\""sv, "1:7: a zero byte"},
        {"\"a\" \"SCRAM-SHA-256$0:AAAA$AAAA:AAAA\"", "1:5: expected SCRAM-SHA-256$"},
    };
    for (const auto& [text, why] : rows)
        EXPECT_THAT(problem_of(text), HasSubstr(why)) << text;
    EXPECT_THAT(problem_of("\"a\" \"" + std::string(3000, 'x') + "\""), HasSubstr("is too long"));
    EXPECT_THAT(problem_of("\"" + std::string(3000, 'x') + "\" \"x\""), HasSubstr("is too long"));
    EXPECT_THAT(problem_of("\"a\" \"hidden"), Not(HasSubstr("hidden")));
}

TEST(Userlist, MakesVerifiersOfPlainPasswords) {
    user_list users;
    ASSERT_TRUE(parse_userlist(
        "\"carol\" \"secret\"\n\"bob\" \"md57c53eaf86052083b816bfc7c7a6edf5d\"", users
    ));
    users.derive_verifiers();
    const auto& made = users.find("carol")->verifier;
    ASSERT_TRUE(made);
    EXPECT_EQ(
        to_text(verifier_of(derive_scram_keys("secret", made->salt).value())), to_text(*made)
    );
    EXPECT_FALSE(users.find("bob")->verifier) << "no password can be got from a hash";
}

TEST(Userlist, UnknownUsersGetAVerifierThatLooksLikeTheOthers) {
    secret_key salt_key;
    salt_key.bytes[3] = 9;
    user_list users(salt_key);
    ASSERT_TRUE(parse_userlist("\"a\" \"" + std::string(verifier) + "\"\n\"plain\" \"x\"", users));
    users.derive_verifiers();
    const auto mock = users.mock_verifier("eve");
    EXPECT_EQ(mock.salt.bytes.size(), users.find("a")->verifier->salt.bytes.size());
    EXPECT_EQ(mock.salt.iterations, 4096u);
    EXPECT_EQ(mock.salt, users.mock_verifier("eve").salt) << "the same at every attempt";
    EXPECT_EQ(mock.salt, user_list(salt_key).mock_verifier("eve").salt) << "and after a reload";
    EXPECT_NE(mock.salt.bytes, users.mock_verifier("mallory").salt.bytes);
    EXPECT_NE(mock.salt.bytes, user_list().mock_verifier("eve").salt.bytes);
}

TEST(Md5Password, HashesAsTheServerDoes) {
    // md5 of "secretcarol", then of its digits and the salt, by Python's hashlib.
    const secret hash = md5_hash("secret", "carol");
    EXPECT_EQ(hash.view(), "md57c53eaf86052083b816bfc7c7a6edf5d");
    EXPECT_TRUE(is_md5_hash(hash.view()));
    EXPECT_EQ(
        md5_response(hash.view(), as_bytes("\x01\x02\x03\x04")).view(),
        "md5c83a30266a4edc1b26fc9ff4ce50ee17"
    );
    EXPECT_FALSE(is_md5_hash("md5"));
    EXPECT_FALSE(is_md5_hash("md57C53EAF86052083B816BFC7C7A6EDF5D"));
    EXPECT_FALSE(is_md5_hash("md57c53eaf86052083b816bfc7c7a6edf5d0"));
    EXPECT_FALSE(is_md5_hash("sha7c53eaf86052083b816bfc7c7a6edf5d"));
}

TEST(Saslprep, MapsWhatItKnowsAndKeepsTheRestAsBytes) {
    const std::pair<std::string_view, std::string_view> rows[] = {
        {"secret", "secret"},
        {"tab\tand \x01 stay", "tab\tand \x01 stay"},
        {"p\xc3\xa4ss", "p\xc3\xa4ss"},
        {"a\xc2\xa0"
         "b",
         "a b"},                             // no-break space
        {"I\xc2\xadX", "IX"},                // soft hyphen, RFC 4013 section 3
        {"\xc2\xad", "\xc2\xad"},            // nothing would be left
        {"\xe2\x80\xa8x", "\xe2\x80\xa8x"},  // prohibited: the bytes as they are
        {"a\xc2\xa0\x07", "a\xc2\xa0\x07"},  // prohibited beside a space
        {"\xff\xc2\xa0", "\xff\xc2\xa0"},    // not UTF-8
        {"\xc0\x80\xc2\xa0", "\xc0\x80\xc2\xa0"},
        {"\xed\xa0\x80\xc2\xa0", "\xed\xa0\x80\xc2\xa0"},
        {"\xf4\x90\x80\x80", "\xf4\x90\x80\x80"},
        {"\xc2", "\xc2"},
        {"\xf0\x9f\x94\x91\xe3\x80\x80", "\xf0\x9f\x94\x91 "},
    };
    for (const auto& [password, prepared] : rows)
        EXPECT_EQ(saslprep(as_text(exact_bytes(password).view())).view(), prepared);
}

}  // namespace
}  // namespace pgsluice::protocol
