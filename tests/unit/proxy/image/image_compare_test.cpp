#include "proxy/image/image_compare.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace pgsluice::proxy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

session_image rich() {
    session_image image;
    image.server_version_num = 140000;
    image.backend_pid = 1;
    image.database_encoding = "UTF8";
    image.client_encoding = "UTF8";
    image.session_user = "u";
    image.current_user = "u";
    image.role = "none";
    image.settings = {
        {"application_name", "psql", "client", "psql", "user"},
        {"work_mem", "1", "session", "4", "user"},
        {"random_page_cost", "1.1", "database", "1.1", "user"}};
    image.custom_settings = {{"app.x", "1"}};
    image.statements = {
        {"p", true, "SELECT 1; PREPARE p AS SELECT 2", {}}, {"s", false, "SELECT $1", {16500}}};
    image.types = {{16500, "public", "mood"}};
    image.channels = {"c"};
    image.locks = {{false, "5", false}};
    return image;
}

/// The same session on another server: other pid, version, OIDs; the PREPARE stands alone.
session_image moved() {
    auto image = rich();
    image.server_version_num = 180000;
    image.backend_pid = 2;
    image.statements[0].text = " PREPARE p AS SELECT 2";
    image.statements[1].parameter_types = {17000};
    image.types = {{17000, "public", "mood"}};
    return image;
}

TEST(SameState, IgnoresWhatBelongsToTheServer) {
    const auto compared = same_state(rich(), moved());
    EXPECT_THAT(compared.differences, IsEmpty());
    EXPECT_THAT(compared.warnings, IsEmpty());
    EXPECT_TRUE(compared.is_same());
}

struct change {
    const char* name;
    std::function<void(session_image&)> apply;
    const char* difference;
};

class SameState : public testing::TestWithParam<change> {};

TEST_P(SameState, TellsTheDifference) {
    auto changed = moved();
    GetParam().apply(changed);
    EXPECT_THAT(
        same_state(rich(), changed).differences, ElementsAre(HasSubstr(GetParam().difference))
    );
    // And from the other side.
    EXPECT_FALSE(same_state(changed, rich()).is_same());
}

const change changes[] = {
    {"Encoding", [](auto& i) { i.database_encoding = "LATIN1"; }, "database encoding"},
    {"ClientEncoding", [](auto& i) { i.client_encoding = "LATIN1"; }, "client_encoding"},
    {"SessionUser", [](auto& i) { i.session_user = "v"; }, "session_user"},
    {"Role", [](auto& i) { i.role = "r"; }, "role is 'none'"},
    {"Value", [](auto& i) { i.settings[1].value = "2"; }, "work_mem is '1'"},
    {"Reset", [](auto& i) { i.settings[1].source = "default"; }, "work_mem is not set"},
    {"Gone", [](auto& i) { i.settings.erase(i.settings.begin() + 1); }, "work_mem is not set"},
    {"Startup", [](auto& i) { i.settings[0].value = "x"; }, "application_name is 'psql' (client)"},
    {"More",
     [](auto& i) {
         i.settings.push_back({"jit", "on", "session", "", ""});
     },
     "jit is set"},
    {"Custom", [](auto& i) { i.custom_settings[0].value = "2"; }, "app.x is '1'"},
    {"CustomGone", [](auto& i) { i.custom_settings.clear(); }, "app.x is not set"},
    {"StatementGone", [](auto& i) { i.statements.pop_back(); }, "\"s\" is missing"},
    {"Text", [](auto& i) { i.statements[1].text = "SELECT 2"; }, "\"s\" has another text"},
    {"PrepareText", [](auto& i) { i.statements[0].text = "PREPARE p AS SELECT 3"; }, "\"p\" has"},
    {"Kind", [](auto& i) { i.statements[1].is_from_sql = true; }, "\"s\" has another"},
    {"Type", [](auto& i) { i.types[0].schema = "other"; }, "\"s\" has another"},
    {"TypeUnknown", [](auto& i) { i.types.clear(); }, "\"s\" has another"},
    {"Channel", [](auto& i) { i.channels = {}; }, "LISTEN \"c\" is missing"},
    {"Lock", [](auto& i) { i.locks.clear(); }, "advisory lock (5) is missing"},
    {"LockMore",
     [](auto& i) {
         i.locks.push_back({true, "1,2", true});
     },
     "(1,2, shared) is on"},
};

INSTANTIATE_TEST_SUITE_P(
    Changes,
    SameState,
    testing::ValuesIn(changes),
    [](const testing::TestParamInfo<change>& row) { return std::string(row.param.name); }
);

TEST(SameState, DefaultsOfTheServersAreWarnings) {
    auto changed = moved();
    changed.settings[1].reset_value = "64";
    changed.settings[2].value = "4";
    changed.settings.push_back({"jit", "off", "user", "off", "user"});
    const auto compared = same_state(rich(), changed);
    EXPECT_TRUE(compared.is_same());
    EXPECT_THAT(
        compared.warnings,
        ElementsAre(
            HasSubstr("RESET work_mem leads to '4'"),
            HasSubstr("random_page_cost is '1.1' (database)"),
            HasSubstr("jit is 'off' (user) on the new server and at its default")
        )
    );
}

TEST(SameState, OptionsLeaveThingsOut) {
    auto changed = moved();
    changed.channels.clear();
    changed.settings.push_back({"default_transaction_read_only", "on", "session", "", "user"});
    const std::vector<std::string> ignored{"default_transaction_read_only"};
    EXPECT_TRUE(same_state(rich(), changed, {.ignores_channels = true, .ignored_settings = ignored})
                    .is_same());
}

TEST(SameState, LibrariesThatAreNotLoadedMakeADifferenceUnlessLoadedOnDemand) {
    auto was = rich();
    auto is = moved();
    was.settings.push_back({"plpgsql.check_asserts", "off", "session", "on", "superuser"});
    is.custom_settings.push_back({"plpgsql.check_asserts", "off"});
    EXPECT_TRUE(same_state(was, is).is_same());
    was.settings.back().name = "auto_explain.log_analyze";
    is.custom_settings.back().name = "auto_explain.log_analyze";
    EXPECT_THAT(same_state(was, is).differences, ElementsAre(HasSubstr("library")));
}

TEST(CaptureNames, CoverCustomAndRegisteredSettings) {
    auto image = rich();
    image.settings.push_back({"plpgsql.check_asserts", "off", "session", "on", "superuser"});
    image.settings.push_back({"plpgsql.other", "off", "database", "on", "superuser"});
    EXPECT_THAT(capture_names(image), ElementsAre("app.x", "plpgsql.check_asserts"));
}

}  // namespace
}  // namespace pgsluice::proxy
