// Services at one address: what they need, and who stands beside whom.
#include "control/config/database_rules.hpp"
#include "tests/unit/control/config/config_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgsluice::control {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

/// Two services on one address, with further keys for each.
std::string two(const std::string& app, const std::string& shop) {
    return "services:\n  app:\n    listen: [\"h:1\", \"h:2\"]\n    backends: {b: {host: db}}\n" +
           app +
           "  shop:\n    listen: [\"h:1\"]\n    backends: {b: {host: db, dbname: shop_v2}}\n" +
           shop;
}

std::vector<std::string> errors_of(const std::string& app, const std::string& shop) {
    std::vector<std::string> lines;
    for (const config_problem& problem : parse_config(two(app, shop)).errors) {
        lines.push_back(format_problem("f", problem));
    }
    return lines;
}

TEST(ConfigDatabases, NamesAreReadAndPrintedBack) {
    const config_outcome read =
        parse_config(two("    databases: [app, \"a b\"]\n", "    databases: [shop, \"*\"]\n"));
    ASSERT_TRUE(read.value.has_value());
    EXPECT_THAT(read.value->services[0].databases, ElementsAre("app", "a b"));
    EXPECT_THAT(read.value->services[1].databases, ElementsAre("shop", "*"));
    EXPECT_EQ(read.value->services[1].backends[0].dbname, "shop_v2");
    EXPECT_EQ(parse_config(print_config(*read.value)).value, read.value);
    EXPECT_THAT(parse_config(smallest).value->services[0].databases, IsEmpty());
}

TEST(ConfigDatabases, OneAddressTakesNamesInBoth) {
    for (const auto& [app, shop] :
         {std::pair("", "    databases: [shop]\n"), std::pair("    databases: [app]\n", "")}) {
        EXPECT_THAT(
            errors_of(app, shop),
            ElementsAre(testing::HasSubstr(": services.shop.listen: h:1 is taken by service "
                                           "\"app\", expected an address of its "
                                           "own, or \"databases\" in both to tell them apart"))
        );
    }
}

TEST(ConfigDatabases, ANameIsOfOneServiceOnly) {
    EXPECT_THAT(
        errors_of("    databases: [app, both, \"*\"]\n", "    databases: [both, shop, \"*\"]\n"),
        ElementsAre(
            "f:9:16: services.shop.databases: \"both\" is of service \"app\" at h:1, expected each "
            "name in one service",
            "f:9:16: services.shop.databases: \"*\" is of service \"app\" at h:1, expected each "
            "name "
            "in one service"
        )
    );
    EXPECT_THAT(
        errors_of("    databases: [app, app]\n", "    databases: [shop]\n"),
        ElementsAre(
            "f:5:22: services.app.databases: \"app\" is listed twice, expected each name once"
        )
    );
    EXPECT_THAT(
        errors_of("    databases: [app, \"\"]\n", "    databases: [shop]\n"),
        ElementsAre(testing::HasSubstr("\"\" is not the name of a database"))
    );
}

TEST(ConfigDatabases, WhatComesBeforeTheNameHasToBeTheSame) {
    EXPECT_THAT(
        errors_of(
            "    databases: [app]\n    tls: {mode: disable}\n",
            "    databases: [shop]\n    tls: {mode: allow}\n"
        ),
        ElementsAre(testing::HasSubstr("expected the same \"tls\" in both"))
    );
    const std::string text =
        "services:\n  a: {listen: [\"h:1\"], databases: [a], backends: {b: {host: "
        "h}}}\n  b: {listen: [{address: \"h:1\", proxy_protocol: required, "
        "trusted: [all]}], databases: [b], backends: {b: {host: h}}}\n";
    const auto errors = parse_config(text).errors;
    ASSERT_EQ(errors.size(), 1U);
    EXPECT_THAT(errors[0].text, testing::HasSubstr("with another proxy_protocol"));
    EXPECT_EQ(errors[0].line, 3);
}

TEST(ConfigDatabases, NeighboursShareAnAddress) {
    const config_outcome read = parse_config(
        "services:\n  a: {listen: [\"h:1\", \"h:2\"], databases: [a], backends: {b: {host: h}}}\n"
        "  b: {listen: [\"h:1\"], databases: [b], backends: {b: {host: h}}}\n"
        "  c: {listen: [\"h:2\"], databases: [c], backends: {b: {host: h}}}\n"
        "  d: {listen: [\"h:3\"], backends: {b: {host: h}}}\n"
    );
    ASSERT_TRUE(read.value.has_value());
    EXPECT_THAT(services_beside(read.value->services, 0), ElementsAre(0, 1, 2));
    EXPECT_THAT(services_beside(read.value->services, 1), ElementsAre(0, 1));
    EXPECT_THAT(services_beside(read.value->services, 3), ElementsAre(3));
}

}  // namespace
}  // namespace pgsluice::control
