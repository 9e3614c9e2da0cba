#include "control/stages/plan.hpp"
#include "control/stages/proposal.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace pgsluice::control {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

address_load load(std::string_view address, std::uint64_t weight = 1) {
    return {client_of(address).value(), weight};
}

std::vector<std::vector<std::string>> split(std::vector<address_load> loads, std::size_t parts) {
    std::vector<std::vector<std::string>> sets;
    for (const load_part& part : split_load(std::move(loads), parts)) {
        sets.push_back(part.tokens);
    }
    return sets;
}

TEST(LoadPlan, ReadsClientsAsSessionsShowThem) {
    EXPECT_TRUE(client_of("unix")->is_local);
    EXPECT_TRUE(client_of("10.0.0.1:5000")->is_ipv4());
    EXPECT_EQ(client_of("[::ffff:10.0.0.1]:1"), client_of("10.0.0.1:2"));
    EXPECT_FALSE(client_of("[fe80::1%eth0]:1")->is_ipv4());
    EXPECT_FALSE(client_of("nobody:1").has_value());
}

TEST(LoadPlan, CutsAtTheShortestPrefix) {
    EXPECT_THAT(
        split(
            {load("10.0.0.9:1"), load("10.0.0.77:1"), load("10.200.0.1:1"), load("10.201.9.1:1")}, 2
        ),
        ElementsAre(ElementsAre("10.0.0.0/9"), ElementsAre("all"))
    );
    EXPECT_THAT(
        split({load("10.0.1.1:1"), load("10.0.2.1:1"), load("10.0.3.1:1"), load("10.0.5.1:1")}, 4),
        ElementsAre(
            ElementsAre("10.0.0.0/23"),
            ElementsAre("10.0.0.0/23", "10.0.2.0/24"),
            ElementsAre("10.0.0.0/22"),
            ElementsAre("all")
        )
    );
}

TEST(LoadPlan, KindsComeOneAfterTheOther) {
    EXPECT_THAT(
        split(
            {load("[2001:db8::1]:1"), load("[2001:db9::1]:1"), load("10.0.0.1:1"), load("unix")}, 3
        ),
        ElementsAre(
            ElementsAre("local", "10.0.0.1/32"),
            ElementsAre("local", "10.0.0.1/32", "2001:db8::/32"),
            ElementsAre("all")
        )
    );
}

TEST(LoadPlan, OneAddressCannotBeSplit) {
    const auto parts = split_load({load("10.0.0.1:1", 90), load("10.0.0.2:1", 10)}, 4);
    ASSERT_EQ(parts.size(), 2);
    EXPECT_EQ(parts[0].percent, 90);
    EXPECT_THAT(
        split({load("10.0.0.1:1"), load("10.0.0.1:2")}, 4), ElementsAre(ElementsAre("all"))
    );
    EXPECT_THAT(split_load({}, 4), IsEmpty());
    EXPECT_THAT(split_load({load("10.0.0.1:1", 0)}, 4), IsEmpty()) << "nothing was counted";
}

TEST(LoadPlan, SetsGrowAndHoldTheirParts) {
    std::mt19937 random(20261122);
    for (int round = 0; round < 200; ++round) {
        const std::size_t addresses = 1 + random() % 300;
        const std::size_t wanted = 2 + random() % 9;
        std::vector<address_load> loads;
        std::uint64_t total = 0;
        std::uint64_t heaviest = 0;
        for (std::size_t i = 0; i < addresses; ++i) {
            proxy::client_address from;
            const bool is_v4 = random() % 4 != 0;
            for (std::size_t at = is_v4 ? 12 : 2; at < 16; ++at) {
                from.bytes[at] = static_cast<std::uint8_t>(random() % (round % 2 == 0 ? 256 : 4));
            }
            if (is_v4) {
                from.bytes[10] = from.bytes[11] = 0xFF;
            } else {
                from.bytes[0] = 0x20;
            }
            loads.push_back({from, 1 + random() % 3});
            total += loads.back().weight;
        }
        std::map<std::array<std::uint8_t, 16>, std::uint64_t> sums;
        for (const auto& each : loads) {
            heaviest = std::max(heaviest, sums[each.from.bytes] += each.weight);
        }
        const auto parts = split_load(loads, wanted);
        ASSERT_LE(parts.size(), wanted);
        ASSERT_GE(parts.size(), std::min(wanted, sums.size()) > 1 ? 2 : 1);
        double percent = 0;
        std::uint64_t before = 0;
        std::optional<proxy::address_set> earlier;
        for (const load_part& part : parts) {
            const auto set = proxy::address_set::parse(part.tokens);
            ASSERT_TRUE(set.has_value()) << set.error().message;
            std::uint64_t inside = 0;
            for (const auto& each : loads) {
                inside += set->contains(each.from) ? each.weight : 0;
                ASSERT_TRUE(!earlier || !earlier->contains(each.from) || set->contains(each.from));
            }
            const double share =
                100 * static_cast<double>(inside - before) / static_cast<double>(total);
            ASSERT_NEAR(part.percent, share, 1e-6);
            if (parts.size() == wanted) {
                const double most =
                    1.3 * 100 / static_cast<double>(wanted) +
                    200 * static_cast<double>(heaviest) / static_cast<double>(total);
                ASSERT_LE(share, most);
            }
            before = inside;
            percent += part.percent;
            earlier = *set;
        }
        ASSERT_EQ(before, total);
        ASSERT_NEAR(percent, 100, 1e-6);
    }
}

TEST(LoadPlan, TheFileIsOneForStages) {
    const auto parts = split_load({load("10.0.0.1:1"), load("[2001:db8::1]:1"), load("unix")}, 3);
    const std::string file = stages_file(parts, "sessions");
    const auto read = parse_stages(file, service_config{});
    ASSERT_TRUE(read.value.has_value()) << file << format_problem("s", read.errors.front());
    ASSERT_EQ(read.value->stages.size(), parts.size());
    for (std::size_t i = 0; i < parts.size(); ++i) {
        EXPECT_EQ(read.value->stages[i].tokens, parts[i].tokens);
    }
}

}  // namespace
}  // namespace pgsluice::control
