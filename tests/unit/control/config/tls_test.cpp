// The keys `tls` of services and backends: what has to stand together, and which file is wrong.
#include "control/config/config.hpp"
#include "tests/unit/control/config/config_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgsluice::control {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string service_with(const std::string& tls, const std::string& backend_tls) {
    return "services:\n  app:\n    listen: [\"127.0.0.1:1\"]\n    tls: {" + tls +
           "}\n    backends:\n      blue: {host: db, tls: {" + backend_tls + "}}\n";
}

std::vector<std::string> errors_of(const std::string& tls, const std::string& backend_tls) {
    std::vector<std::string> lines;
    for (const config_problem& problem : parse_config(service_with(tls, backend_tls)).errors)
        lines.push_back(format_problem("f", problem));
    return lines;
}

TEST(ConfigTls, WithoutKeysClientsMayHaveItAndBackendsDoWithout) {
    const config_outcome outcome = parse_config(smallest);
    ASSERT_TRUE(outcome.value.has_value());
    const service_config& service = outcome.value->services[0];
    EXPECT_EQ(service.tls, client_tls_config{});
    EXPECT_EQ(service.tls.mode, proxy::client_tls::prefer);
    EXPECT_EQ(service.backends[0].tls.mode, proxy::backend_tls::disable);
}

TEST(ConfigTls, ModesAreReadAndPrintedAsLibpqWritesThem) {
    for (const char* mode : {"disable", "prefer", "require"}) {
        const config_outcome outcome =
            parse_config(service_with("mode: allow", std::string("mode: ") + mode));
        ASSERT_TRUE(outcome.value.has_value()) << mode;
        const std::string printed = print_config(*outcome.value);
        EXPECT_THAT(printed, HasSubstr(std::string("mode: ") + mode));
        EXPECT_EQ(parse_config(printed).value, outcome.value);
        EXPECT_EQ(to_string(outcome.value->services[0].backends[0].tls.mode), mode);
    }
    EXPECT_EQ(to_string(proxy::backend_tls::verify_ca), "verify-ca");
    EXPECT_EQ(to_string(proxy::backend_tls::verify_full), "verify-full");
}

TEST(ConfigTls, WhatIsMissingOrWithoutEffectIsNamed) {
    const struct {
        const char* tls;
        const char* backend_tls;
        const char* what;
    } rows[] = {
        {"mode: require", "", "f:4:17: services.app.tls.mode is require, expected \"cert\""},
        {"key: /k", "", "f:4:16: services.app.tls.key has no effect, expected \"cert\""},
        {"cert: /nowhere", "", "f:4:17: services.app.tls: /nowhere: No such file"},
        {"mode: verify-ful", "", "did you mean \"verify-full\"?"},
        {"mode: verify-full", "", "services.app.tls.mode is verify-full, expected \"cert\""},
        {"mode: verify-ca, cert: /nowhere", "", "services.app.tls.mode verifies, expected \"ca\""},
        {"", "mode: verify-full", "f:6:36: services.app.backends.blue.tls.mode verifies"},
        {"", "mode: verifyca", "did you mean \"verify-ca\"?"},
        {"", "mode: prefer, ca: /c", "tls.ca has no effect, expected mode require"},
        {"", "ca: /c", "tls.ca has no effect"},
        {"", "mode: require, ca: /nowhere", "tls.ca: /nowhere: No such file"},
        {"crl: /c", "", "f:4:16: services.app.tls.crl has no effect, expected \"cert\""},
        {"", "mode: require, crl: /c", "tls.crl has no effect, expected \"ca\""},
        {"", "certs: /c", "unknown key \"certs\" in services.app.backends.blue.tls"},
    };
    for (const auto& [tls, backend_tls, what] : rows)
        EXPECT_THAT(errors_of(tls, backend_tls), ElementsAre(HasSubstr(what)));
}

TEST(ConfigTls, UnixSocketHasNone) {
    const config_outcome outcome =
        parse_config("services: {app: {listen: [\"127.0.0.1:1\"], backends: {blue: {host: /run/pg, "
                     "tls: {mode: require}}}}}");
    ASSERT_FALSE(outcome.errors.empty());
    EXPECT_THAT(outcome.errors[0].text, HasSubstr("there is no TLS on a unix socket"));
}

TEST(ConfigTls, ClientKeysAreReloadableBackendKeysAreNot) {
    const config before = *parse_config(service_with("mode: allow", "mode: prefer")).value;
    const config after = *parse_config(service_with("mode: disable", "mode: require")).value;
    const auto changes = config_changes(before, after);
    ASSERT_EQ(changes.size(), 2u);
    EXPECT_EQ(changes[0].key, "services.app.tls.mode");
    EXPECT_FALSE(changes[0].needs_restart);
    EXPECT_EQ(changes[1].key, "services.app.backends.blue.tls.mode");
    EXPECT_TRUE(changes[1].needs_restart);
}

}  // namespace
}  // namespace pgsluice::control
