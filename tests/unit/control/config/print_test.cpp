#include "control/config/keys.hpp"
#include "tests/unit/control/config/config_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgsluice::control {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

TEST(PrintConfig, ReadsBackAsEqual) {
    const config example = *parse_config(file_text("configs/pgsluice.yaml")).value;
    EXPECT_EQ(parse_config(print_config(example)).value, example);
    config odd = *parse_config(smallest).value;
    odd.services[0].admin.user = "o'\"\\ : # é";
    odd.services[0].name = "123";
    odd.services[0].backends[0].name = "null";
    odd.services[0].route = "null";
    odd.http = host_port{"::1", 80};
    EXPECT_EQ(parse_config(print_config(odd)).value, odd);
}

/// The documented default of every key is the one the code uses.
template <class Target>
void expect_documented_defaults(std::span<const config_key<Target>> keys) {
    for (const auto& key : keys) {
        if (key.initial.empty() || key.is_list || key.initial.find(' ') != std::string_view::npos ||
            key.initial == "required") {
            continue;
        }
        Target target;
        const auto initial = key.show(target);
        EXPECT_EQ(key.set(target, key.initial), std::nullopt) << key.name;
        EXPECT_EQ(key.show(target), initial) << key.name;
    }
}

TEST(ConfigReference, DocumentsTheDefaultsInUse) {
    expect_documented_defaults(global_keys());
    expect_documented_defaults(service_keys());
    expect_documented_defaults(backend_keys());
}

TEST(ConfigReference, FileIsCurrent) {
    EXPECT_EQ(file_text("configs/reference.md"), config_reference())
        << "run: pgsluice --print-reference > configs/reference.md";
}

TEST(ConfigChanges, TellsWhatNeedsARestart) {
    const config before = *parse_config(file_text("configs/pgsluice.yaml")).value;
    EXPECT_THAT(config_changes(before, before), IsEmpty());
    config after = before;
    after.log.level = log_level::debug;
    after.workers = 2;
    after.services[0].hold.timeout = milliseconds(1);
    after.services[0].backends[0].address.port = 1;
    after.services[0].backends.push_back({"red", {"h", 1}, {}});
    after.services.push_back({});
    after.services[1].name = "more";
    std::vector<std::string> lines;
    for (const config_change& change : config_changes(before, after)) {
        lines.push_back(
            change.key + ": " + change.before + " -> " + change.after +
            (change.needs_restart ? " restart" : "")
        );
    }
    EXPECT_THAT(
        lines,
        ElementsAre(
            "workers: auto -> 2 restart",
            "log.level: info -> debug",
            "services.app.hold.timeout: 2m -> 1ms",
            "services.app.backends.blue.port: 5432 -> 1 restart",
            "services.app.backends.red:  -> h:1",
            "services.more:  -> present restart"
        )
    );
    EXPECT_THAT(config_changes(after, before), SizeIs(6));
    EXPECT_TRUE(config_changes(after, before).back().needs_restart);
}

TEST(ConfigReload, AppliesExactlyWhatNeedsNoRestart) {
    const config before = *parse_config(file_text("configs/pgsluice.yaml")).value;
    config wanted = before;
    wanted.log.level = log_level::debug;
    wanted.workers = 2;
    wanted.services[0].hold.timeout = milliseconds(1);
    wanted.services[0].admin.conninfo = "sslmode=require";
    wanted.services[0].listen[0].address.port = 1;
    wanted.services[0].backends[0].address.port = 1;
    wanted.services[0].backends.insert(wanted.services[0].backends.begin(), {"red", {"h", 1}, {}});
    wanted.services.push_back({});
    wanted.services[1].name = "more";
    const config merged = reloaded(before, wanted);
    for (const config_change& change : config_changes(before, merged)) {
        EXPECT_FALSE(change.needs_restart) << change.key;
    }
    for (const config_change& change : config_changes(merged, wanted)) {
        EXPECT_TRUE(change.needs_restart) << change.key;
    }
    EXPECT_EQ(merged.services[0].backends.back().name, "red");
    EXPECT_EQ(merged.services[0].admin.conninfo, "sslmode=require");
    EXPECT_EQ(reloaded(before, before), before);
    for (const auto& key : service_keys()) {
        EXPECT_TRUE(!key.is_reloadable || key.copy != nullptr) << key.name;
    }
}

}  // namespace
}  // namespace pgsluice::control
