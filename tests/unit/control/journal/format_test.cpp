#include "control/journal/format.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgsluice::control {
namespace {

using testing::HasSubstr;

std::vector<journal_record> three_records() {
    return {
        {1, 1'700'000'000'000, "app", "route", {{"backend", "blue"}, {"generation", 1}}},
        {2, 1'700'000'000'001, "app", "step", {{"text", "line\nfeed \"quoted\" é"}}},
        {3, 1'700'000'000'002, "", "end", {}},
    };
}

std::string encoded(const std::vector<journal_record>& records) {
    std::string text;
    for (const journal_record& record : records) {
        text += encode_record(record);
    }
    return text;
}

TEST(JournalFormat, LineIsReadableAndItsChecksumIsCrc32c) {
    // The checksum comes from an independent implementation whose value for "123456789" is the one
    // of RFC 3720, appendix B.4: e3069283.
    EXPECT_EQ(
        encode_record({1, 2, "s", "k", {{"a", 1}}}),
        "fc925de7 {\"seq\":1,\"at\":2,\"service\":\"s\",\"kind\":\"k\",\"data\":{\"a\":1}}\n"
    );
}

TEST(JournalFormat, ReadsBackWhatWasWritten) {
    const auto decoded = decode_journal(encoded(three_records()));
    ASSERT_TRUE(decoded.has_value());
    EXPECT_EQ(decoded->records, three_records());
    EXPECT_EQ(decode_journal("")->records.size(), 0u);
}

TEST(JournalFormat, CutAtEveryByteKeepsTheCompleteRecords) {
    const auto records = three_records();
    const std::string text = encoded(records);
    for (std::size_t cut = 0; cut <= text.size(); ++cut) {
        const auto decoded = decode_journal(std::string_view(text).substr(0, cut));
        ASSERT_TRUE(decoded.has_value()) << cut;
        std::size_t complete = 0;
        std::size_t bytes = 0;
        while (complete < records.size() && bytes + encode_record(records[complete]).size() <= cut
        ) {
            bytes += encode_record(records[complete++]).size();
        }
        EXPECT_EQ(decoded->records.size(), complete) << cut;
        EXPECT_EQ(decoded->valid_bytes, bytes) << cut;
    }
}

TEST(JournalFormat, UnwrittenSectorsAtTheEndAreATornTail) {
    const auto records = three_records();
    const std::string text = encoded(records);
    const std::size_t last = text.size() - encode_record(records[2]).size();
    for (std::size_t from = last; from < text.size(); ++from) {
        std::string torn = text;
        std::fill(torn.begin() + static_cast<std::ptrdiff_t>(from), torn.end(), '\0');
        const auto decoded = decode_journal(torn);
        ASSERT_TRUE(decoded.has_value()) << from;
        EXPECT_EQ(decoded->valid_bytes, last) << from;
    }
}

TEST(JournalFormat, AHoleInALongLastRecordIsATornTail) {
    std::string text = encode_record({1, 1, "", "long", {{"text", std::string(3000, 'x')}}});
    std::fill(text.begin() + 512, text.begin() + 1024, '\0');
    const auto decoded = decode_journal(text);
    ASSERT_TRUE(decoded.has_value());
    EXPECT_EQ(decoded->valid_bytes, 0u);
}

TEST(JournalFormat, EveryFlippedBitIsDamageAtItsRecordsOffset) {
    const auto records = three_records();
    const std::string text = encoded(records);
    const std::size_t starts[] = {
        0, encode_record(records[0]).size(), text.size() - encode_record(records[2]).size()};
    for (std::size_t at = 0; at < text.size(); ++at) {
        std::size_t start = 0;
        for (const std::size_t each : starts) {
            start = each <= at ? each : start;
        }
        for (int bit = 0; bit < 8; ++bit) {
            std::string flipped = text;
            flipped[at] = static_cast<char>(flipped[at] ^ (1 << bit));
            const auto decoded = decode_journal(flipped);
            if (decoded.has_value()) {
                // The case of a checksum's hexadecimal digit carries no information.
                EXPECT_EQ(decoded->records, records) << at << " bit " << bit;
                continue;
            }
            EXPECT_THAT(
                decoded.error().message, HasSubstr("byte offset " + std::to_string(start) + ":")
            ) << at
              << " bit " << bit;
        }
    }
}

TEST(JournalFormat, AMissingOrRepeatedRecordIsDamage) {
    auto records = three_records();
    records.erase(records.begin() + 1);
    const auto gap = decode_journal(encoded(records));
    ASSERT_TRUE(gap.has_error());
    EXPECT_THAT(gap.error().message, HasSubstr("record 3 follows record 1"));
    records = three_records();
    records[1] = records[0];
    EXPECT_TRUE(decode_journal(encoded(records)).has_error());
}

TEST(JournalFormat, ForeignFilesAreDamage) {
    for (const char* text : {"hello\n", "\n", "00000000 {}\n", "\xff\xfe\n\n"}) {
        EXPECT_TRUE(decode_journal(text).has_error()) << text;
    }
}

}  // namespace
}  // namespace pgsluice::control
