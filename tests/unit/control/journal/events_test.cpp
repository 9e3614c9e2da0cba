#include "control/journal/events.hpp"
#include "control/records/cutover_json.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace pgsluice::control {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::vector<journal_record> records() {
    cutover_record aborted{
        .kind = record_kind::aborted, .id = "c1", .from = "blue", .to = "green", .text = "why"};
    aborted.steps = {{"preflight", std::chrono::microseconds{5}, "fine", false}};
    return {
        {1, 0, "app", "route", {{"backend", "blue"}, {"generation", 1}}},
        {2, 1'500, "other", "pause", {{"on_timeout", "resume"}}},
        {3, 1'700'000'000'123, "app", journal_kind(record_kind::aborted), encode_cutover(aborted)},
    };
}

std::vector<std::uint64_t> numbers(const event_filter& wanted) {
    std::vector<std::uint64_t> found;
    for (const boost::json::value& each : events_json(records(), wanted)) {
        found.push_back(each.at("seq").to_number<std::uint64_t>());
    }
    return found;
}

TEST(Events, AreFilteredByServiceNumberAndCount) {
    EXPECT_THAT(numbers({}), ElementsAre(1U, 2U, 3U));
    EXPECT_THAT(numbers({.service = "app"}), ElementsAre(1U, 3U));
    EXPECT_THAT(numbers({.service = "", .after = 1}), ElementsAre(2U, 3U));
    EXPECT_THAT(numbers({.service = "", .after = 0, .last = 1}), ElementsAre(3U));
    EXPECT_THAT(numbers({.service = "", .after = 3}), ElementsAre());
}

TEST(Events, TellWhenAndWhatInOneLine) {
    const auto rows = events_json(records(), {});
    EXPECT_EQ(rows[0].at("at"), "1970-01-01T00:00:00.000Z");
    EXPECT_EQ(rows[2].at("at"), "2023-11-14T22:13:20.123Z");
    EXPECT_EQ(rows[0].at("text"), "backend blue, generation 1");
    EXPECT_EQ(rows[2].at("event"), "cutover_aborted");
    EXPECT_EQ(rows[2].at("text"), "blue -> green, id c1, why") << "the steps stay in the payload";
    EXPECT_TRUE(rows[2].at("payload").as_object().contains("steps"));
}

}  // namespace
}  // namespace pgsluice::control
