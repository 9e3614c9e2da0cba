#pragma once

#include "proxy/image/capture.hpp"
#include "proxy/image/image_compare.hpp"
#include "proxy/image/type_map.hpp"
#include "tests/unit/proxy/image/server_leg.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace pgsluice::proxy {

struct side {
    std::uint16_t port = 0;
    std::string database;
};

inline std::uint16_t port_from(const char* variable, std::uint16_t otherwise) {
    const char* text = std::getenv(variable);
    return text == nullptr ? otherwise : static_cast<std::uint16_t>(std::atoi(text));
}

inline server_leg
connect(const side& to, const std::string& user, server_leg::parameters more = {}) {
    more.insert(more.begin(), {{"user", user}, {"database", to.database}});
    return {to.port, more};
}

/// Roles and types; `padding` types first, so that OIDs differ between the databases.
inline void prepare_database(const side& where, int padding) {
    auto admin = connect({where.port, "postgres"}, "postgres");
    admin.query("DROP DATABASE IF EXISTS " + where.database);
    admin.query("CREATE DATABASE " + where.database);
    admin.query("DO $$ BEGIN CREATE ROLE image_user LOGIN; EXCEPTION WHEN OTHERS THEN END $$");
    admin.query("DO $$ BEGIN CREATE ROLE \"Odd 'role\"; EXCEPTION WHEN OTHERS THEN END $$");
    admin.query("GRANT \"Odd 'role\" TO image_user");
    auto owner = connect(where, "postgres");
    owner.query("CREATE SCHEMA \"odd, schema\"; GRANT USAGE ON SCHEMA \"odd, schema\" TO PUBLIC");
    for (int i = 0; i < padding; ++i)
        owner.query("CREATE DOMAIN padding_" + std::to_string(i) + " AS int");
    owner.query("CREATE TYPE \"odd, schema\".mood AS ENUM ('sad', 'ok')");
    owner.query("CREATE DOMAIN positive AS int CHECK (VALUE > 0)");
    owner.query("CREATE TABLE t (id int, note text); GRANT ALL ON t TO PUBLIC");
    owner.query("CREATE SEQUENCE s");
}

/// Two databases, on one server or two: PGSLUICE_TEST_PG_PORT names a server at 127.0.0.1 that
/// trusts everybody, PGSLUICE_TEST_PG_PORT_NEW may name another. Both get databases and roles of
/// their own. Without the variable the tests are skipped.
class image_on_server : public testing::Test {
protected:
    static void SetUpTestSuite() {
        const auto port = port_from("PGSLUICE_TEST_PG_PORT", 0);
        if (port == 0)
            return;
        from = {port, "pgsluice_image_old"};
        to = {port_from("PGSLUICE_TEST_PG_PORT_NEW", port), "pgsluice_image_new"};
        prepare_database(from, 0);
        prepare_database(to, 7);
    }

    void SetUp() override {
        if (from.port == 0)
            GTEST_SKIP() << "PGSLUICE_TEST_PG_PORT is not set";
    }

    static session_image capture(server_leg& leg, const capture_options& options = {}) {
        const auto image = captured_image(leg.run(capture_request(options)));
        if (!image)
            throw std::runtime_error("capture: " + image.error().message + image.error().detail);
        return *image;
    }

    /// The map that the replay of `image` needs, asked from `leg`.
    static oid_map map_types(const session_image& image, server_leg& leg) {
        const auto request = type_resolve_request(image.types, image.database_encoding);
        const auto types = resolved_types(image.types, leg.run(request));
        return {image.types, types.value()};
    }

    static void expect_replayed(const script& what, server_leg& leg) {
        const auto outcome = leg.run(what);
        if (const auto* error = outcome.first_error())
            FAIL() << error->step.label << ": " << error->what.sqlstate << error->what.message;
        EXPECT_EQ(outcome.transaction_status, 'I');
    }

    static void expect_same(const session_image& image, server_leg& leg) {
        const auto names = capture_names(image);
        const auto now = capture(leg, {.custom_names = names});
        const auto compared = same_state(image, now);
        EXPECT_THAT(compared.differences, testing::IsEmpty());
        EXPECT_THAT(compared.warnings, testing::IsEmpty());
    }

    static inline side from;
    static inline side to;
};

}  // namespace pgsluice::proxy
