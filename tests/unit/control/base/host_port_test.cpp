#include "control/base/host_port.hpp"

#include <gtest/gtest.h>

namespace pgsluice::control {
namespace {

TEST(HostPort, ReadsTcpAndSocketAddresses) {
    const std::tuple<const char*, const char*, int> rows[] = {
        {"127.0.0.1:6432", "127.0.0.1", 6432},
        {"[::]:6432", "::", 6432},
        {"[fe80::1%eth0]:1", "fe80::1%eth0", 1},
        {"db.example.org:5432", "db.example.org", 5432},
        {"/run/pg", "/run/pg", 6432},
        {"/run/pg/", "/run/pg", 6432},
        {"/run/pg:7000", "/run/pg", 7000},
        {"/run/a:b/pg", "/run/a:b/pg", 6432},
    };
    for (const auto& [text, host, port] : rows) {
        const auto parsed = parse_host_port(text, listen_port_default);
        ASSERT_TRUE(parsed.has_value()) << text;
        EXPECT_EQ(parsed->host, host) << text;
        EXPECT_EQ(parsed->port, port) << text;
        EXPECT_EQ(parse_host_port(parsed->text(), 1).value(), *parsed) << text;
    }
}

TEST(HostPort, NamesTheSocketAsPostgresqlDoes) {
    EXPECT_EQ(parse_host_port("/run/pg:7000", 1).value().socket_path(), "/run/pg/.s.PGSQL.7000");
}

TEST(HostPort, RefusesEverythingElse) {
    const std::string long_path = "/" + std::string(100, 'x');
    for (const std::string& text :
         {std::string(""),
          std::string("localhost"),
          std::string(":6432"),
          std::string("a:0"),
          std::string("a:65536"),
          std::string("a:x"),
          std::string("a:"),
          std::string("::1:5432"),
          std::string("a b:1"),
          std::string("[]:1"),
          std::string("[::1:5"),
          std::string("/run/pg:0"),
          std::string("/run/pg:port"),
          std::string("./dir:5432"),
          long_path}) {
        const auto parsed = parse_host_port(text, 6432);
        ASSERT_TRUE(parsed.has_error()) << text;
        EXPECT_NE(parsed.error().message.find("expected host:port"), std::string::npos) << text;
    }
}

}  // namespace
}  // namespace pgsluice::control
