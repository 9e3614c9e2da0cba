#include "control/config/config.hpp"
#include "control/config/resolve.hpp"
#include "proxy/access/address_set.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgsluice::control {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string file_with(std::string_view listen) {
    return "services: {app: {backends: {b: {host: 127.0.0.1}}, listen: " + std::string(listen) +
           "}}\n";
}

std::vector<std::string> errors_of(std::string_view listen) {
    std::vector<std::string> texts;
    for (const config_problem& each : parse_config(file_with(listen)).errors) {
        texts.push_back(each.text);
    }
    return texts;
}

constexpr std::string_view proxied =
    R"([127.0.0.1:1, {address: "127.0.0.1:2", proxy_protocol: required, trusted: [10.0.0.0/8, local]},
        {address: "127.0.0.1:3", proxy_protocol: off}])";

TEST(ConfigListen, MappingsStandBesideAddresses) {
    const auto outcome = parse_config(file_with(proxied));
    ASSERT_TRUE(outcome.value.has_value()) << outcome.errors[0].text;
    const auto& listen = outcome.value->services[0].listen;
    ASSERT_EQ(listen.size(), 3U);
    EXPECT_EQ(listen[0], (listen_config{.address = {"127.0.0.1", 1}}));
    EXPECT_EQ(listen[1].proxy_protocol, proxy_protocol_mode::required);
    EXPECT_THAT(listen[1].trusted, ElementsAre("10.0.0.0/8", "local"));
    EXPECT_EQ(listen[2], (listen_config{.address = {"127.0.0.1", 3}}));
    const auto again = parse_config(print_config(*outcome.value));
    ASSERT_TRUE(again.value.has_value()) << again.errors[0].text;
    EXPECT_EQ(again.value, outcome.value);
}

TEST(ConfigListen, BecomesWhatTheDataPlaneNeeds) {
    const auto outcome = parse_config(file_with(proxied));
    const auto resolved = resolve_service(outcome.value->services[0], testing_config{}, {});
    ASSERT_TRUE(resolved.has_value());
    const auto& listen = resolved->settings->listen;
    ASSERT_EQ(listen.size(), 3U);
    EXPECT_EQ(listen[0].balancers, nullptr);
    ASSERT_NE(listen[1].balancers, nullptr);
    EXPECT_THAT(listen[1].balancers->tokens(), ElementsAre("local", "10.0.0.0/8"));
    EXPECT_EQ(listen[2].balancers, nullptr);
}

TEST(ConfigListen, ChangeNeedsARestart) {
    const auto before = parse_config(file_with(proxied));
    auto after = *before.value;
    after.services[0].listen[1].trusted = {"all"};
    const auto changes = config_changes(*before.value, after);
    ASSERT_EQ(changes.size(), 1U);
    EXPECT_EQ(changes[0].key, "services.app.listen");
    EXPECT_TRUE(changes[0].needs_restart);
}

TEST(ConfigListen, MistakesSayWhatWasExpected) {
    const struct {
        const char* listen;
        const char* message;
    } rows[] = {
        {"[{proxy_protocol: off}]", "services.app.listen has no \"address\""},
        {"[{address: \"h:1\", proxy: on}]", "unknown key \"proxy\" in services.app.listen"},
        {"[{address: \"h\"}]", "services.app.listen.address: \"h\" has no port"},
        {"[{address: \"h:1\", proxy_protocol: auto}]", "expected off or required"},
        {"[{address: \"h:1\", proxy_protocol: required}]", "expected \"trusted\" to list"},
        {"[{address: \"h:1\", trusted: [::1]}]", "listen.trusted has no effect"},
        {"[{address: \"h:1\", proxy_protocol: required, trusted: []}]", "trusted is empty"},
        {"[{address: \"h:1\", proxy_protocol: required, trusted: [10.0.0.1/8]}]",
         "\"10.0.0.1/8\" has bits set beyond its prefix, expected 10.0.0.0/8"},
        {"[{address: \"h:1\", proxy_protocol: required, trusted: [10.0.0.0/8=5%]}]",
         "expected ranges without a share"},
        {"[{address: \"h:1\", proxy_protocol: required, trusted: [none]}]",
         "expected ranges without a share"},
        {"[{address: \"h:1\", proxy_protocol: required, trusted: [::1, ::1]}]", "is given twice"},
        {"[h:1, {address: \"h:1\"}]", "\"h:1\" is listed twice"},
        {"[{address: \"h:1\"}, h:1]", "\"h:1\" is listed twice"},
    };
    for (const auto& row : rows) {
        EXPECT_THAT(errors_of(row.listen), ElementsAre(HasSubstr(row.message))) << row.listen;
    }
}

TEST(ConfigListen, MappingsStandNowhereElse) {
    const auto outcome = parse_config(
        "services: {app: {backends: {b: {host: h}}, listen: [{address: \"h:1\", proxy_protocol: "
        "required, trusted: [{a: b}]}]}}\n"
    );
    ASSERT_EQ(outcome.errors.size(), 1U);
    EXPECT_THAT(outcome.errors[0].text, HasSubstr("trusted holds a mapping"));
}

}  // namespace
}  // namespace pgsluice::control
