#include "protocol/wire/wire.hpp"
#include "tests/unit/protocol/wire/exact_bytes.hpp"

#include <gmock/gmock.h>

#include <string>
#include <vector>

namespace pgsluice::protocol {
namespace {

using namespace std::string_view_literals;
using testing::Optional;

TEST(Wire, IntegersAreBigEndianAndNeedNoAlignment) {
    const exact_bytes odd("\x55\x80\x00\x01\xfe\x7f"sv);
    EXPECT_EQ(load_u16(odd.view().data() + 1), 0x8000U);
    EXPECT_EQ(load_i16(odd.view().data() + 1), -32768);
    EXPECT_EQ(load_u32(odd.view().data() + 1), 0x800001feU);
    EXPECT_EQ(load_i32(odd.view().data() + 1), -2147483138);

    std::uint8_t raw[7] = {};
    store_u16(raw + 1, 0x1234);
    store_u32(raw + 3, 0x89abcdef);
    EXPECT_EQ(as_text(raw), "\x00\x12\x34\x89\xab\xcd\xef"sv);
}

TEST(Reader, TakesFieldsInOrder) {
    const exact_bytes body("\x07name\0\xff\xfe\x00\x00\x00\x2a\xff\xff\xff\xff\x01\x02tail"sv);
    reader r(body.view());
    EXPECT_THAT(r.u8(), Optional(7));
    EXPECT_THAT(r.cstring(), Optional("name"sv));
    EXPECT_THAT(r.i16(), Optional(-2));
    EXPECT_THAT(r.i32(), Optional(42));
    EXPECT_THAT(r.u32(), Optional(0xffffffffU));
    EXPECT_THAT(r.u16(), Optional(0x0102));
    EXPECT_EQ(as_text(r.rest()), "tail");
    EXPECT_FALSE(r.at_end());
    EXPECT_EQ(as_text(r.bytes(4).value()), "tail");
    EXPECT_TRUE(r.at_end());
}

TEST(Reader, NeverReadsPastTheEnd) {
    for (std::size_t size = 0; size < 4; ++size) {
        const exact_bytes few(std::string(size, 'x'));
        EXPECT_EQ(reader(few.view()).u8().has_value(), size >= 1);
        EXPECT_EQ(reader(few.view()).u16().has_value(), size >= 2);
        EXPECT_EQ(reader(few.view()).i16().has_value(), size >= 2);
        EXPECT_EQ(reader(few.view()).i32(), std::nullopt);
        EXPECT_EQ(reader(few.view()).u32(), std::nullopt);
        EXPECT_EQ(reader(few.view()).cstring(), std::nullopt);
        EXPECT_FALSE(reader(few.view()).bytes(size + 1));
        EXPECT_FALSE(reader(few.view()).bytes(std::numeric_limits<std::size_t>::max()));
        EXPECT_TRUE(reader(few.view()).bytes(size));
    }
}

TEST(Reader, StaysFailedOnceAReadDidNotFit) {
    const exact_bytes body("ab\0"sv);
    reader r(body.view());
    EXPECT_FALSE(r.i32());
    EXPECT_TRUE(r.failed());
    EXPECT_FALSE(r.u8());
    EXPECT_FALSE(r.cstring());
    EXPECT_FALSE(r.bytes(0));
    EXPECT_TRUE(r.rest().empty());
    EXPECT_FALSE(r.at_end());
}

TEST(Reader, ReadsAnEmptyString) {
    const exact_bytes body("\0"sv);
    reader r(body.view());
    EXPECT_THAT(r.cstring(), Optional(""sv));
    EXPECT_TRUE(r.at_end());
}

template <class Buffer>
Buffer two_messages() {
    Buffer out;
    writer w(out);
    w.begin_message('P');
    w.cstring("s1");
    w.i16(-1);
    w.u16(65535);
    w.i32(-2);
    w.bytes("xyz"sv);
    w.end_message();
    w.begin_untyped_message();
    w.u32(0x01020304);
    w.end_message();
    return out;
}

TEST(Writer, FillsInLengthsInAnyByteBuffer) {
    constexpr auto expected = "P\x00\x00\x00\x12s1\0\xff\xff\xff\xff\xff\xff\xff\xfexyz"
                              "\x00\x00\x00\x08\x01\x02\x03\x04"sv;
    EXPECT_EQ(two_messages<std::string>(), expected);
    EXPECT_EQ(as_text(two_messages<std::vector<std::uint8_t>>()), expected);
}

TEST(Writer, AppendsBehindWhatIsThere) {
    std::string out = "before";
    writer w(out);
    w.begin_message('S');
    w.end_message();
    EXPECT_EQ(out, "beforeS\0\0\0\x04"sv);
}

TEST(WriterDeathTest, RefusesAStringThatWouldEndEarly) {
    std::string out;
    writer w(out);
    EXPECT_DEATH(w.cstring("a\0b"sv), "broken invariant");
}

}  // namespace
}  // namespace pgsluice::protocol
