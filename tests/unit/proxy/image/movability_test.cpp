#include "proxy/image/movability.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace pgsluice::proxy {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string_view> codes(const session_image& image, const wire_knowledge& wire = {}) {
    std::vector<std::string_view> all;
    for (const auto& pin : judge(image, wire).pins) {
        EXPECT_FALSE(pin.text.empty());
        all.push_back(to_string(pin.code));
    }
    return all;
}

TEST(Verdict, AnOrdinarySessionIsMovable) {
    session_image image;
    image.settings = {{"work_mem", "1", "session", "4", "user"}};
    image.statements = {{"s", false, "SELECT '\\'", {23}}};
    image.locks = {{false, "1", false}};
    image.channels = {"c"};
    image.has_unnamed_statement = true;
    EXPECT_TRUE(judge(image, {}).is_movable());
}

TEST(Verdict, EachFactOfTheWireIsAPin) {
    EXPECT_THAT(codes({}, {.lacks_credentials = true}), ElementsAre("credentials"));
    EXPECT_THAT(codes({}, {.is_replication = true}), ElementsAre("replication"));
    EXPECT_THAT(codes({}, {.names_incomplete = true}), ElementsAre("custom_guc"));
    EXPECT_THAT(codes({}, {.uses_currval = true}), ElementsAre("currval"));
    EXPECT_THAT(codes({}, {.protocol_uncertain = true}), ElementsAre("protocol"));
}

TEST(Verdict, SequenceStateThatWasCapturedIsAPinOnce) {
    session_image image;
    image.is_currval_defined = true;
    EXPECT_THAT(codes(image, {}), ElementsAre("currval"));
    EXPECT_THAT(codes(image, {.uses_currval = true}), ElementsAre("currval"));
}

TEST(Verdict, AnUnknownUnnamedStatementMattersOnlyIfItExists) {
    session_image image;
    EXPECT_THAT(codes(image, {.knows_unnamed = false}), IsEmpty());
    image.has_unnamed_statement = false;
    EXPECT_THAT(codes(image, {.knows_unnamed = false}), IsEmpty());
    image.has_unnamed_statement = true;
    EXPECT_THAT(codes(image, {.knows_unnamed = false}), ElementsAre("unnamed_statement"));
}

TEST(Verdict, ObjectsOfTheBackendArePins) {
    session_image image;
    image.has_temp_objects = true;
    image.hold_cursors = {"a", "b"};
    EXPECT_THAT(codes(image), ElementsAre("temp", "hold_cursor", "hold_cursor"));
}

TEST(Verdict, PreparesMustBeCutOut) {
    session_image image;
    image.statements = {{"a", true, "SELECT 1; PREPARE a AS SELECT 2; SELECT 3", {}}};
    EXPECT_THAT(codes(image), IsEmpty());
    image.statements = {{"b", true, "SELECT 1; PREPARE a AS SELECT 2; SELECT 3", {}}};
    EXPECT_THAT(codes(image), ElementsAre("sql_prepared"));
}

TEST(Verdict, BackslashesAreNotTrustedWhenLexingChanged) {
    session_image image;
    image.statements = {
        {"p", true, "PREPARE p AS SELECT '\\'", {}}, {"s", false, "SELECT '\\'", {}}};
    EXPECT_THAT(codes(image), IsEmpty());
    EXPECT_THAT(codes(image, {.lexing_changed = true}), ElementsAre("sql_prepared", "statement"));
    image.has_standard_strings = false;
    EXPECT_THAT(codes(image), ElementsAre("sql_prepared"));
}

TEST(Verdict, ParameterTypesMustStillExist) {
    session_image image;
    image.statements = {{"s", false, "SELECT $1", {23, 16500}}};
    EXPECT_THAT(codes(image), ElementsAre("unknown_type"));
    image.types = {{16500, "public", "mood"}};
    EXPECT_THAT(codes(image), IsEmpty());
}

TEST(Verdict, EveryCodeHasItsOwnName) {
    std::set<std::string_view> names;
    for (int code = 0; code <= static_cast<int>(pin_code::protocol); ++code)
        names.insert(to_string(static_cast<pin_code>(code)));
    EXPECT_EQ(names.size(), static_cast<std::size_t>(pin_code::protocol) + 1);
}

}  // namespace
}  // namespace pgsluice::proxy
