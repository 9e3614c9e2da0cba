#include "proxy/access/login_rules.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <netinet/in.h>

namespace pgsluice::proxy {
namespace {

using method = login_method;
using testing::HasSubstr;
using testing::StartsWith;

client_address from(const std::string& text) {
    endpoint e;
    auto* in = reinterpret_cast<sockaddr_in*>(&e.address);
    auto* in6 = reinterpret_cast<sockaddr_in6*>(&e.address);
    if (text == "local") {
        e.address.ss_family = AF_UNIX;
    } else if (::inet_pton(AF_INET, text.c_str(), &in->sin_addr) == 1) {
        e.address.ss_family = AF_INET;
    } else {
        e.address.ss_family = AF_INET6;
        EXPECT_EQ(::inet_pton(AF_INET6, text.c_str(), &in6->sin6_addr), 1) << text;
    }
    return client_address::of(e);
}

login_rules rules_of(std::string_view text) {
    auto parsed = login_rules::parse(text);
    EXPECT_TRUE(parsed.has_value()) << (parsed ? "" : parsed.error().message);
    return parsed ? *parsed : login_rules();
}

std::string error_of(std::string_view text) {
    const auto parsed = login_rules::parse(text);
    return parsed ? "" : parsed.error().message;
}

login_attempt
attempt(std::string_view user, std::string_view database, const std::string& address) {
    return {
        .user = user,
        .database = database,
        .from = from(address),
        .is_encrypted = false,
        .is_physical_replication = false};
}

TEST(LoginRules, NamesMayBeMapped) {
    const login_rules rules = rules_of("local all all peer\n"
                                       "hostssl all all all cert map=staff\n");
    EXPECT_EQ(rules.find(attempt("alice", "shop", "local")), method::peer);
    EXPECT_EQ(rules.find(attempt("alice", "shop", "local"))->map, "");
    login_attempt over_tls = attempt("alice", "shop", "10.1.2.3");
    over_tls.is_encrypted = true;
    EXPECT_EQ(rules.find(over_tls)->map, "staff");
    const login_rules::named_maps named{{"staff", 2}};
    EXPECT_EQ(rules.maps(), named);
}

TEST(LoginRules, TheFirstRecordThatMatchesDecides) {
    const login_rules rules = rules_of("# who may what\n"
                                       "host  shop  mallory  all          reject\n"
                                       "host  shop  all      10.0.0.0/8   scram-sha-256\n"
                                       "host  all   \"all\"  all          md5\n"
                                       "local all   all                   trust\n");
    EXPECT_EQ(rules.size(), 4U);
    EXPECT_EQ(rules.find(attempt("mallory", "shop", "10.1.2.3")), method::reject);
    EXPECT_EQ(rules.find(attempt("alice", "shop", "10.1.2.3")), method::scram_sha_256);
    EXPECT_EQ(rules.find(attempt("alice", "shop", "11.1.2.3")), std::nullopt);
    EXPECT_EQ(rules.find(attempt("alice", "bank", "10.1.2.3")), std::nullopt);
    EXPECT_EQ(rules.find(attempt("all", "bank", "::1")), method::md5);
    EXPECT_EQ(rules.find(attempt("alice", "bank", "local")), method::trust);
}

TEST(LoginRules, WithoutRecordsNobodyIsLetIn) {
    EXPECT_EQ(rules_of("\n # nothing\n").find(attempt("a", "a", "local")), std::nullopt);
}

TEST(LoginRules, EncryptionDecidesBetweenTypes) {
    const login_rules rules = rules_of("hostssl   all all all cert\n"
                                       "hostnossl all all all reject\n");
    auto who = attempt("a", "a", "::1");
    EXPECT_EQ(rules.find(who), method::reject);
    who.is_encrypted = true;
    EXPECT_EQ(rules.find(who), method::cert);
    EXPECT_EQ(rules.find(attempt("a", "a", "local")), std::nullopt);
}

TEST(LoginRules, ReplicationIsNoDatabase) {
    const login_rules rules = rules_of("host all              all all reject\n"
                                       "host \"replication\"  all all md5\n"
                                       "host replication      all all trust\n");
    auto walsender = attempt("a", "a", "::1");
    walsender.is_physical_replication = true;
    EXPECT_EQ(rules.find(walsender), method::trust);
    EXPECT_EQ(rules.find(attempt("a", "replication", "::1")), method::reject);
}

TEST(LoginRules, SameUserComparesTheTwoNames) {
    const login_rules rules = rules_of("host sameuser,shop all all trust");
    EXPECT_EQ(rules.find(attempt("a", "a", "::1")), method::trust);
    EXPECT_EQ(rules.find(attempt("a", "shop", "::1")), method::trust);
    EXPECT_EQ(rules.find(attempt("a", "b", "::1")), std::nullopt);
}

TEST(LoginRules, ListsQuotesCommentsAndJoinedLines) {
    const login_rules rules = rules_of("host \"my db\", other ,third \\\n"
                                       "  \"a\"\"b\",c all trust#comment\n");
    for (const char* database : {"my db", "other", "third"}) {
        EXPECT_EQ(rules.find(attempt("a\"b", database, "::1")), method::trust) << database;
        EXPECT_EQ(rules.find(attempt("c", database, "::1")), method::trust) << database;
    }
    EXPECT_EQ(rules.find(attempt("d", "other", "::1")), std::nullopt);
}

TEST(LoginRules, MasksAndNetworksAsServersWriteThem) {
    struct row {
        const char* address;
        const char* inside;
        const char* outside;
    };
    for (const row& each : std::vector<row>{
             {"10.1.0.0/16", "10.1.255.1", "10.2.0.1"},
             {"10.1.2.3/16", "10.1.255.1", "10.2.0.1"},
             {"10.1.0.0 255.255.0.0", "10.1.255.1", "10.2.0.1"},
             {"10.1.2.3/32", "10.1.2.3", "10.1.2.4"},
             {"0.0.0.0/0", "1.2.3.4", "2001:db8::1"},
             {"::/0", "2001:db8::1", "1.2.3.4"},
             {"2001:db8::/32", "2001:db8:1::", "2001:db9::"},
             {"2001:db8:: ffff:ffff::", "2001:db8:1::", "2001:db9::"},
             {"10.1.0.0/16", "::ffff:10.1.0.9", "::10.1.0.9"},
         }) {
        const login_rules rules = rules_of("host a a " + std::string(each.address) + " trust");
        EXPECT_EQ(rules.find(attempt("a", "a", each.inside)), method::trust) << each.address;
        EXPECT_EQ(rules.find(attempt("a", "a", each.outside)), std::nullopt) << each.address;
        EXPECT_EQ(rules.find(attempt("a", "a", "local")), std::nullopt) << each.address;
    }
}

TEST(LoginRules, KnowsWhichLineAsksForWhat) {
    const login_rules rules = rules_of("\nhost a a all trust\n\nhost b b all \\\n md5\n");
    EXPECT_EQ(rules.line_of(method::trust), 2U);
    EXPECT_EQ(rules.line_of(method::md5), 4U);
    EXPECT_FALSE(rules.has(method::cert));
}

TEST(LoginRules, ACertificateCanBeNeededBesideThePassword) {
    const login_rules rules = rules_of("host    all a all md5\n"
                                       "hostssl all b all md5 clientcert=verify-ca\n"
                                       "hostssl all c all trust clientcert=verify-full\n"
                                       "hostssl all d all cert clientcert=verify-full map=m\n");
    const auto needs = [&](std::string_view user) {
        auto who = attempt(user, "x", "::1");
        who.is_encrypted = true;
        return rules.find(who)->certificate;
    };
    EXPECT_EQ(needs("a"), client_certificate::optional);
    EXPECT_EQ(needs("b"), client_certificate::valid);
    EXPECT_EQ(needs("c"), client_certificate::of_user);
    EXPECT_EQ(needs("d"), client_certificate::of_user);
    EXPECT_EQ(rules.line_of_certificates(), 2U);
    EXPECT_EQ(rules_of("host a a all md5\n").line_of_certificates(), 0U);
}

TEST(LoginRules, WhatIsWrongIsRefusedWithItsLine) {
    struct row {
        const char* text;
        const char* error;
    };
    for (const row& each : std::vector<row>{
             {"host a a", "1: the record ends early"},
             {"\nhost a a 10.0.0.0 255.0.0.0", "2: the record ends early, expected a method"},
             {"local a a", "1: the record ends early"},
             {"hots a a all trust", "1: \"hots\" is not a type, expected local, host, hostssl"},
             {"host a a all ldap", "1: \"ldap\" is not a method here, expected trust, reject"},
             {"host a a all ldap ldapserver=x", "1: \"ldap\" is not a method here"},
             {"host a a all scram-sha-256 map=x", "1: \"map=x\" is an option"},
             {"hostssl a a all cert clientname=DN", "1: \"clientname=DN\" is an option"},
             {"hostssl a a all cert map=", "1: \"map=\" is an option"},
             {"hostssl a a all cert clientcert=verify-ca",
              "1: \"clientcert=verify-ca\" is an option, expected map=NAME or "
              "clientcert=verify-full or none"},
             {"hostssl a a all md5 clientcert=1",
              "1: \"clientcert=1\" is an option, expected clientcert=verify-ca, "
              "clientcert=verify-full or none"},
             {"host a a all md5 clientcert=verify-ca",
              "1: \"clientcert=verify-ca\" is an option, expected none"},
             {"host a a all peer", "1: \"peer\" needs local"},
             {"host a +staff all trust", "1: \"+staff\" asks for memberships"},
             {"host samerole a all trust", "1: \"samerole\" asks for memberships"},
             {"host @dbs a all trust", "1: \"@dbs\" names a file"},
             {"host \"/^db\" a all trust", "1: \"/^db\" is a regular expression"},
             {"host a a samenet trust", "1: \"samenet\" is not an address"},
             {"host a a db.example trust", "1: \"db.example\" is not an address"},
             {"host a a 10.0.0.0/33 trust", "1: \"10.0.0.0/33\" is not an address"},
             {"host a a 10.0.0.0/8=5% trust", "1: \"10.0.0.0/8=5%\" is not an address"},
             {"host a a 10.0.0.0 255.0.255.0 trust", "1: \"10.0.0.0\" is not an address"},
             {"host a a 10.0.0.0,11.0.0.0 trust", "1: there are several addresses"},
             {"host a a all cert", "1: \"cert\" needs hostssl"},
             {"host \"a a all trust\n", "1: a quote is not closed"},
             {"include other.conf", "1: \"include\" is not a type"},
         }) {
        EXPECT_THAT(error_of(each.text), StartsWith(each.error)) << each.text;
    }
}

TEST(LoginRules, AnyBytesAreReadOrRefused) {
    const std::string alphabet = "host al,\"\\#\n\t/+@0.:md5";
    std::uint32_t seed = 1;
    for (int round = 0; round < 20'000; ++round) {
        std::string text;
        for (int i = 0; i < 40; ++i) {
            seed = seed * 1664525U + 1013904223U;
            text += alphabet[(seed >> 16U) % alphabet.size()];
        }
        const auto parsed = login_rules::parse(text);
        if (!parsed) {
            EXPECT_THAT(parsed.error().message, HasSubstr(": "));
            EXPECT_EQ(parsed.error().sqlstate, "F0000");
        }
    }
}

}  // namespace
}  // namespace pgsluice::proxy
