// The keys `console`: who is who, and what has to stand beside them.
#include "control/config/console_rules.hpp"
#include "tests/unit/control/config/config_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgsluice::control {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string service_with(const std::string& auth, const std::string& console) {
    return "services:\n  app:\n    listen: [\"127.0.0.1:1\"]\n    auth: {" + auth +
           "}\n    console: {" + console + "}\n    backends:\n      blue: {host: db}\n";
}

std::vector<std::string> errors_of(const std::string& auth, const std::string& console) {
    std::vector<std::string> lines;
    for (const config_problem& problem : parse_config(service_with(auth, console)).errors) {
        lines.push_back(format_problem("f", problem));
    }
    return lines;
}

proxy::client_address address(const std::string& text) {
    proxy::client_address found;
    found.bytes = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    std::sscanf(
        text.c_str(),
        "%hhu.%hhu.%hhu.%hhu",
        &found.bytes[12],
        &found.bytes[13],
        &found.bytes[14],
        &found.bytes[15]
    );
    return found;
}

TEST(ConfigConsole, WithoutUsersThereIsNone) {
    const config_outcome outcome = parse_config(smallest);
    ASSERT_TRUE(outcome.value.has_value());
    EXPECT_FALSE(outcome.value->services[0].console.is_open());
}

TEST(ConfigConsole, RolesAndRangesAreReadAndPrintedBack) {
    const config_outcome outcome = parse_config(service_with(
        "method: md5, query: pg_authid, query_user: postgres",
        "admin: [ada], operator: [otto, \"o p\"], viewer: [vera], from: [10.0.0.0/8, local]"
    ));
    ASSERT_TRUE(outcome.value.has_value());
    const console_config& console = outcome.value->services[0].console;
    EXPECT_TRUE(console.is_open());
    EXPECT_THAT(console.admins, ElementsAre("ada"));
    EXPECT_THAT(console.operators, ElementsAre("otto", "o p"));
    EXPECT_THAT(console.viewers, ElementsAre("vera"));
    EXPECT_THAT(console.from, ElementsAre("10.0.0.0/8", "local"));
    EXPECT_EQ(parse_config(print_config(*outcome.value)).value, outcome.value);
}

TEST(ConfigConsole, IsReachedFromThisMachineUnlessTheFileSaysMore) {
    const proxy::address_set own = console_from({});
    EXPECT_TRUE(own.contains(address("127.0.0.1")));
    EXPECT_TRUE(own.contains({{}, true}));
    EXPECT_FALSE(own.contains(address("10.0.0.1")));
    const proxy::address_set wider = console_from({.from = {"10.0.0.0/8"}});
    EXPECT_TRUE(wider.contains(address("10.0.0.1")));
    EXPECT_FALSE(wider.contains(address("127.0.0.1")));
}

TEST(ConfigConsole, WhatIsWrongIsNamedAtItsPlace) {
    const struct {
        const char* auth;
        const char* console;
        const char* expected;
    } rows[] = {
        {"method: passthrough",
         "admin: [ada]",
         "f:5:22: services.app.console.admin needs clients that pgsluice asks itself, expected "
         "auth.method scram-sha-256, md5 or trust"},
        {"method: trust",
         "viewer: [vera], from: [10.0.0.0/8]",
         "console.from: \"10.0.0.0/8\" is not on this machine"},
        {"method: trust", "from: [local]", "console.from has no effect, expected \"admin\""},
        {"method: trust", "admin: [ada], viewer: [ada]", "\"ada\" has another role"},
        {"method: trust", "admin: [ada, ada]", "\"ada\" is listed twice"},
        {"method: trust", "admin: [ada], from: [all=5%]", "console.from: "},
        {"method: trust", "admin: [ada], from: [none]", "expected ranges without a share"},
        {"method: trust", "admins: [ada]", "did you mean \"admin\"?"},
        {"method: trust", "admin: ada", "expected a value of type: list of users"},
    };
    for (const auto& row : rows) {
        const auto lines = errors_of(row.auth, row.console);
        ASSERT_FALSE(lines.empty()) << row.console;
        EXPECT_THAT(lines[0], HasSubstr(row.expected)) << row.console;
    }
    EXPECT_THAT(
        errors_of("method: trust", "admin: [ada], from: [127.0.0.0/8, local]"), ElementsAre()
    );
}

TEST(ConfigConsole, ReloadAppliesEverything) {
    const auto before = *parse_config(service_with("method: trust", "admin: [ada]")).value;
    const auto after =
        *parse_config(service_with("method: trust", "viewer: [ada], from: [local]")).value;
    for (const config_change& change : config_changes(before, after)) {
        EXPECT_FALSE(change.needs_restart) << change.key;
    }
    EXPECT_EQ(reloaded(before, after).services[0].console, after.services[0].console);
}

}  // namespace
}  // namespace pgsluice::control
