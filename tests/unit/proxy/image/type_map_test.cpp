#include "proxy/image/text_array.hpp"
#include "proxy/image/type_map.hpp"
#include "tests/unit/proxy/image/backend_answers.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgsluice::proxy {
namespace {

using namespace std::literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const std::vector<user_type> old_types{
    {16500, "public", "mood"}, {16400, "odd, \"schema\"", "mood"}, {16600, "public", "gone"}};
const std::vector<user_type> new_types{
    {17001, "odd, \"schema\"", "mood"}, {17000, "public", "mood"}};

TEST(OidMap, PairsTypesByName) {
    const oid_map map(old_types, new_types);
    EXPECT_EQ(map.at(23), 23U);
    EXPECT_EQ(map.at(0), 0U);
    EXPECT_EQ(map.at(16500), 17000U);
    EXPECT_EQ(map.at(16400), 17001U);
    EXPECT_EQ(map.at(16600), std::nullopt);
    EXPECT_EQ(map.at(10000), std::nullopt);
    EXPECT_EQ(oid_map().at(25), 25U);
}

TEST(RemapParse, ChangesNothingButTheTypes) {
    const oid_map map(old_types, new_types);
    const auto body = "\0SELECT $1, $2\0\0\x03\0\0\0\x17\0\0\x40\x74\0\0\0\0"s;
    const auto mapped = remap_parse(protocol::as_bytes(body), map);
    ASSERT_TRUE(mapped);
    EXPECT_EQ(*mapped, "\0SELECT $1, $2\0\0\x03\0\0\0\x17\0\0\x42\x68\0\0\0\0"s);
    EXPECT_THAT(unstable_types(protocol::as_bytes(body)), ElementsAre(16500));
    EXPECT_EQ(remap_parse(protocol::as_bytes(body), {}).error().sqlstate, "42704");
}

TEST(RemapParse, RefusesEveryCutOffMessage) {
    const auto body = "\0SELECT $1\0\0\x01\0\0\x40\x74"s;
    for (std::size_t size = 0; size < body.size(); ++size) {
        const std::vector<std::uint8_t> exact(body.begin(), body.begin() + static_cast<long>(size));
        EXPECT_EQ(remap_parse(exact, {}).error().sqlstate, "08P01");
        EXPECT_THAT(unstable_types(exact), IsEmpty());
    }
    EXPECT_FALSE(remap_parse(protocol::as_bytes(body + "x"), {}));
}

TEST(ResolvedTypes, KeepTheNamesAskedFor) {
    const auto ask = type_resolve_request(old_types, "UTF8");
    EXPECT_THAT(ask.bytes, HasSubstr(R"({"public","odd, \"schema\"","public"})"));
    auto all = good_answers(ask, {"x"});
    const auto row = std::ranges::find_if(all, [](const answer& a) {
        return a.type == 'D' && a.body.ends_with('x');
    });
    ASSERT_NE(row, all.end());
    *row = data_row({"2", "17001"});
    const auto types = resolved_types(old_types, outcome_of(ask, all));
    ASSERT_TRUE(types);
    EXPECT_THAT(*types, ElementsAre(user_type{17001, "odd, \"schema\"", "mood"}));
    for (const auto& wrong :
         {data_row({"4", "1"}),
          data_row({"0", "1"}),
          data_row({"1"}),
          data_row({std::nullopt, "1"})}) {
        *row = wrong;
        EXPECT_EQ(resolved_types(old_types, outcome_of(ask, all)).error().sqlstate, "XX000");
    }
    EXPECT_EQ(
        resolved_types(old_types, outcome_of(ask, {error("42501"), ready()})).error().sqlstate,
        "42501"
    );
}

TEST(TextArray, QuotesEverything) {
    EXPECT_EQ(text_array({}), "{}");
    const std::vector<std::string_view> odd{"", "NULL", "a,b", "q\"\\", "{}"};
    EXPECT_EQ(text_array(odd), R"({"","NULL","a,b","q\"\\","{}"})");
    EXPECT_EQ(oid_array(std::vector<std::uint32_t>{1, 4294967295U}), "{1,4294967295}");
    EXPECT_EQ(quoted_identifier("a\"b"), "\"a\"\"b\"");
}

}  // namespace
}  // namespace pgsluice::proxy
