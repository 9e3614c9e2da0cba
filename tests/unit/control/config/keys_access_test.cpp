// Keys about who gets in, and how pgsluice gets in at a backend.
#include "control/config/config.hpp"
#include "tests/unit/control/config/config_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

namespace pgsluice::control {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string service_with(const std::string& keys, const std::string& backend) {
    return "services:\n  app:\n    listen: [\"127.0.0.1:1\"]\n" + keys +
           "    backends:\n      blue: {host: db" + backend + "}\n";
}

std::vector<std::string> errors_of(const std::string& keys, const std::string& backend) {
    std::vector<std::string> lines;
    for (const config_problem& problem : parse_config(service_with(keys, backend)).errors)
        lines.push_back(format_problem("f", problem));
    return lines;
}

TEST(ConfigAccess, LimitsHaveDefaults) {
    const config_outcome outcome = parse_config(smallest);
    ASSERT_TRUE(outcome.value.has_value());
    EXPECT_EQ(outcome.value->services[0].limits, limits_config{});
    EXPECT_EQ(outcome.value->services[0].limits.failed_logins, 0U);
    EXPECT_EQ(outcome.value->services[0].limits.unknown_cancels, 1000U);
    EXPECT_EQ(outcome.value->services[0].limits.unauthenticated, 0U);
}

TEST(ConfigAccess, IsPrintedAsItIsRead) {
    const config_outcome outcome = parse_config(service_with(
        "    auth: {method: trust}\n"
        "    limits: {failed_logins: 5, unknown_cancels: 0, unauthenticated: 9}\n",
        ", user: pool, password_env: POOL, channel_binding: disable, read_only_user: reader, "
        "read_only_password_env: READER"
    ));
    ASSERT_TRUE(outcome.value.has_value());
    const service_config& service = outcome.value->services[0];
    const limits_config given{.failed_logins = 5, .unknown_cancels = 0, .unauthenticated = 9};
    EXPECT_EQ(service.limits, given);
    EXPECT_EQ(service.backends[0].login.user, "pool");
    EXPECT_EQ(service.backends[0].login.password_env, "POOL");
    EXPECT_EQ(service.backends[0].read_only_login, (backend_login_config{"reader", "READER", ""}));
    EXPECT_EQ(service.backends[0].binding, protocol::channel_binding::disable);
    EXPECT_EQ(parse_config(print_config(*outcome.value)).value, outcome.value);
}

TEST(ConfigAccess, ACanaryIsAnotherBackendForSomeAddresses) {
    const auto parsed = [](const std::string& keys) {
        return parse_config(
            "services:\n  app:\n    listen: [\"127.0.0.1:1\"]\n    route: blue\n    canary: " +
            keys + "\n    backends:\n      blue: {host: a}\n      green: {host: b}\n"
        );
    };
    const auto good = parsed("{cidr: \"10.0.0.0/8=5% local\", backend: green, access: read-write}");
    ASSERT_TRUE(good.value.has_value());
    EXPECT_EQ(
        good.value->services[0].canary,
        (canary_config{"10.0.0.0/8=5% local", "green", canary_access::read_write})
    );
    EXPECT_EQ(parse_config(print_config(*good.value)).value, good.value);
    const auto plain = parsed("{cidr: 10.0.0.0/8, backend: green}");
    ASSERT_TRUE(plain.value.has_value());
    EXPECT_EQ(plain.value->services[0].canary.access, canary_access::read_only);
    const struct {
        const char* keys;
        const char* what;
    } rows[] = {
        {"{cidr: 10.0.0.0/8}", "f:5:20: services.app.canary has no \"backend\""},
        {"{backend: green}", "f:5:23: services.app.canary has no \"cidr\""},
        {"{access: read-write}", "canary.access has no effect"},
        {"{cidr: 10.0.0.0/8, backend: blue}", "\"blue\" is not a backend beside the route"},
        {"{cidr: 10.0.0.0/8, backend: gren}", "did you mean \"green\"?"},
        {"{cidr: 10.0.0.1/8, backend: green}", "bits set beyond its prefix"},
        {"{cidr: 10.0.0.0/8=101%, backend: green}", "percent from 0 to 100"},
        {"{cidr: none, backend: green}", "expected ranges, local or all"},
        {"{cidr: 10.0.0.0/8, backend: green, access: no}", "expected read-only or read-write"},
    };
    for (const auto& row : rows) {
        const auto outcome = parsed(row.keys);
        ASSERT_FALSE(outcome.errors.empty()) << row.keys;
        EXPECT_THAT(format_problem("f", outcome.errors.front()), HasSubstr(row.what)) << row.keys;
    }
}

TEST(ConfigAccess, WhatCannotBeMeantIsRefused) {
    const std::string trust = "    auth: {method: trust}\n";
    const struct {
        std::string keys;
        const char* backend;
        const char* what;
    } rows[] = {
        {"", ", user: pool", "f:5:30: services.app.backends.blue.user lets in clients whom"},
        {trust, ", password_env: P", "password_env has no effect, expected \"user\""},
        {trust,
         ", read_only_password_env: P",
         "read_only_password_env has no effect, expected \"read_only_user\""},
        {trust, ", read_only_user: a, read_only_password_file: /nowhere", "/nowhere"},
        {trust, ", user: a, read_only_user: a", "read_only_user is the same role as user"},
        {trust,
         ", user: a, password_env: P, password_file: /nowhere",
         "has both \"password_env\" and \"password_file\""},
        {trust, ", channel_binding: always", "\"always\" is not valid"},
        {trust, ", channel_binding: require", "expected a tls.mode other than disable"},
        {trust, ", tls: {cert: /c}", "has a certificate but no effect"},
        {trust, ", tls: {mode: require, key: /k}", "tls.key has no effect"},
        {trust, ", tls: {mode: require, cert: /nowhere}", "tls.cert: /nowhere: No such file"},
    };
    for (const auto& [keys, backend, what] : rows)
        EXPECT_THAT(errors_of(keys, backend), testing::Contains(HasSubstr(what))) << backend;
    EXPECT_THAT(
        errors_of(trust, ", user: pool, password_file: /nowhere"),
        ElementsAre(HasSubstr("/nowhere: No such file"))
    );
}

}  // namespace
}  // namespace pgsluice::control
