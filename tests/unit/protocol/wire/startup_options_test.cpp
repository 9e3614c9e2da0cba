#include "protocol/wire/startup_options.hpp"

#include <gtest/gtest.h>

namespace pgsluice::protocol {
namespace {

std::string joined(std::string_view options) {
    std::string text;
    for (const auto& [name, value] : settings_in_options(options))
        text += name + "=" + value + ";";
    return text;
}

TEST(StartupOptions, FindsSettingsInEverySpelling) {
    const struct {
        const char* options;
        const char* settings;
    } rows[] = {
        {"", ""},
        {"   ", ""},
        {"-c geqo=off", "geqo=off;"},
        {"-cgeqo=off", "geqo=off;"},
        {"--geqo=off", "geqo=off;"},
        {"--search-path=a,b", "search_path=a,b;"},
        {"-c app.tenant=42 -c app.tenant=43", "app.tenant=42;app.tenant=43;"},
        {"-c\tapp.x=1\n--app.y=2", "app.x=1;app.y=2;"},
        {"-c app.x=a\\ b", "app.x=a b;"},
        {"-c app.x=a\\\\b", "app.x=a\\b;"},
        {"-c app.x=", "app.x=;"},
        {"-c app.x=a=b", "app.x=a=b;"},
        {"-e -c app.x=1", "app.x=1;"},
        {"-ec app.x=1", "app.x=1;"},
        {"-S 64 -c app.x=1", "app.x=1;"},
        {"-S -c app.x=1", ""},  // "-c" is the argument of -S here
        {"-c app.x", ""},
        {"-c", ""},
        {"-", ""},
        {"-- -c app.x=1", ""},
        {"-c app.x=1\\", "app.x=1;"},
    };
    for (const auto& row : rows)
        EXPECT_EQ(joined(row.options), row.settings) << row.options;
}

}  // namespace
}  // namespace pgsluice::protocol
