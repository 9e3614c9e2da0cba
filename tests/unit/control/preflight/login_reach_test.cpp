#include "control/preflight/login_reach.hpp"

#include <gtest/gtest.h>

namespace pgsluice::control {
namespace {

/// What libpq 15 and a server in English say.
TEST(Reach, NamesTheWall) {
    pg_login login;
    login.server = "green";
    login.address = {"db", 5433};
    login.admin.user = "joe";
    login.admin.dbname = "app";
    const std::pair<const char*, const char*> rows[] = {
        {"could not translate host name \"no.such\" to address: Name or service not known", "name"},
        {"connection to server at \"127.0.0.1\", port 1 failed: Connection refused", "tcp"},
        {"green did not answer in time", "tcp"},
        {"server closed the connection unexpectedly", "startup"},
        {"server does not support SSL, but SSL was required", "tls"},
        {"SSL error: certificate verify failed", "tls"},
        {"server certificate for \"a\" does not match host name \"b\"", "tls"},
        {"FATAL:  no pg_hba.conf entry for host \"::1\", user \"joe\", SSL off", "pg_hba"},
        {"FATAL:  no pg_hba.conf entry for host \"::1\", user \"joe\", database \"app\"", "pg_hba"},
        {"FATAL:  role \"joe\" does not exist", "role"},
        {"FATAL:  role \"joe\" is not permitted to log in", "role"},
        {"fe_sendauth: no password supplied", "password"},
        {"FATAL:  password authentication failed for user \"joe\"", "password"},
        {"FATAL:  database \"app\" does not exist", "database"},
        {"FATAL:  permission denied for database \"app\"", "database"},
        {"connection to server at \"localhost\" (::1), port 1 failed: Connection refused "
         "connection "
         "to server at \"localhost\" (127.0.0.1), port 1 failed: SSL error: certificate verify "
         "failed",
         "tls"},
        {"connection to server at \"db\" (10.0.0.1), port 1 failed: FATAL:  no pg_hba.conf entry "
         "for "
         "host \"::1\" connection to server at \"db\" (10.0.0.2), port 1 failed: Connection "
         "refused",
         "pg_hba"},
        {"FATAL:  sorry, too many clients already", "connections"},
        {"FATAL:  remaining connection slots are reserved", "connections"}};
    for (const auto& [message, layer] : rows) {
        EXPECT_EQ(wall_of(message, login).layer, layer) << message;
        EXPECT_FALSE(wall_of(message, login).mend.empty());
    }
}

}  // namespace
}  // namespace pgsluice::control
