#include "protocol/conversation/session_state.hpp"
#include "protocol/wire/frame.hpp"
#include "tests/unit/protocol/conversation/conversation.hpp"
#include "tests/unit/protocol/conversation/golden_conversations.hpp"

#include <gmock/gmock.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

namespace {
std::atomic<std::size_t> allocations = 0;
}

void* operator new(std::size_t size) {
    ++allocations;
    void* block = std::malloc(size == 0 ? 1 : size);
    if (block == nullptr)
        throw std::bad_alloc();
    return block;
}
void operator delete(void* block) noexcept {
    std::free(block);
}
void operator delete(void* block, std::size_t) noexcept {
    std::free(block);
}

namespace pgsluice::protocol {
namespace {

using namespace std::literals;

/// Puts messages together again from what a cursor shows of them.
struct collector {
    std::size_t prefix_bytes = 0;
    std::size_t stop_before = std::numeric_limits<std::size_t>::max();
    std::string messages = {};  ///< type, body, '|' for each
    std::size_t count = 0;
    bool prefix_was_there = true;

    std::size_t prefix(std::uint8_t) const { return prefix_bytes; }

    bool on_message(const frame_cursor::message& m) {
        if (count == stop_before)
            return false;
        ++count;
        if (m.body_so_far.size() < std::min<std::size_t>(prefix_bytes, m.body_bytes))
            prefix_was_there = false;
        messages += (messages.empty() ? "" : "|") + std::string(1, static_cast<char>(m.type));
        on_body(m.body_so_far);
        return true;
    }

    void on_body(byte_view part) { messages += as_text(part); }
};

/// Feeds `stream` in pieces that end at `cuts`, presenting what is left over again, as a pump does.
/// Every presentation is a block of exactly its size.
void feed(
    frame_cursor& cursor, collector& seen, std::string_view stream, std::vector<std::size_t> cuts
) {
    cuts.push_back(stream.size());
    std::size_t taken = 0;
    for (const std::size_t cut : cuts) {
        const exact_bytes piece(stream.substr(taken, cut - taken));
        taken += cursor.scan(piece.view(), seen);
        if (!cursor.broken() && seen.count < seen.stop_before) {
            ASSERT_LE(cut - taken, frame_cursor::leftover_bytes_max);
        }
    }
}

/// All messages of one direction of a golden conversation.
std::string stream_of(const conversation& talk, bool from_client) {
    std::string stream;
    for (const auto& line : talk.lines) {
        if (line.from_client == from_client)
            stream += message(line.type, line.body);
    }
    return stream;
}

std::string expected_of(const conversation& talk, bool from_client) {
    std::string messages;
    for (const auto& line : talk.lines) {
        if (line.from_client == from_client)
            messages += (messages.empty() ? "" : "|") + std::string(1, line.type) + line.body;
    }
    return messages;
}

TEST(FrameCursor, SeesTheSameMessagesAtEverySplitPoint) {
    for (const auto& talk : parse_conversations(golden_conversations)) {
        for (const bool from_client : {true, false}) {
            SCOPED_TRACE(talk.name);
            const std::string stream = stream_of(talk, from_client);
            for (std::size_t cut = 0; cut <= stream.size(); ++cut) {
                for (const std::size_t prefix : {0U, 1U, 4U}) {
                    frame_cursor cursor;
                    collector seen{.prefix_bytes = prefix};
                    feed(cursor, seen, stream, {cut});
                    ASSERT_EQ(seen.messages, expected_of(talk, from_client)) << cut;
                    ASSERT_TRUE(seen.prefix_was_there) << cut;
                    ASSERT_TRUE(cursor.between_messages());
                    ASSERT_FALSE(cursor.broken());
                }
            }
        }
    }
}

TEST(FrameCursor, SeesTheSameMessagesOneByteAtATime) {
    for (const auto& talk : parse_conversations(golden_conversations)) {
        const std::string stream = stream_of(talk, false);
        std::vector<std::size_t> cuts(stream.size());
        for (std::size_t i = 0; i < cuts.size(); ++i)
            cuts[i] = i;
        frame_cursor cursor;
        collector seen{.prefix_bytes = 4};
        feed(cursor, seen, stream, cuts);
        EXPECT_EQ(seen.messages, expected_of(talk, false)) << talk.name;
    }
}

TEST(FrameCursor, KnowsWhenItIsInsideABody) {
    const std::string stream = message('D', "0123456789");
    frame_cursor cursor;
    collector seen;
    feed(cursor, seen, stream.substr(0, 8), {});
    EXPECT_FALSE(cursor.between_messages());
    EXPECT_EQ(cursor.body_remaining(), 7U);
    EXPECT_EQ(seen.messages, "D012");
    feed(cursor, seen, stream.substr(8), {});
    EXPECT_TRUE(cursor.between_messages());
    EXPECT_EQ(seen.messages, "D0123456789");
}

TEST(FrameCursor, RefusesLengthsThatCannotBe) {
    const struct {
        const char* name;
        std::string_view header;
        bool broken;
    } rows[] = {
        {"0", "Q\x00\x00\x00\x00"sv, true},
        {"3", "Q\x00\x00\x00\x03"sv, true},
        {"4", "Q\x00\x00\x00\x04"sv, false},
        {"1 GiB", "Q\x40\x00\x00\x00"sv, false},
        {"1 GiB + 1", "Q\x40\x00\x00\x01"sv, true},
        {"INT_MAX", "Q\x7f\xff\xff\xff"sv, true},
        {"INT_MIN", "Q\x80\x00\x00\x00"sv, true},
        {"-1", "Q\xff\xff\xff\xff"sv, true},
    };
    for (const auto& row : rows) {
        frame_cursor cursor;
        collector seen;
        const std::string stream = message('S', "") + std::string(row.header);
        feed(cursor, seen, stream, {3, 7});
        EXPECT_EQ(cursor.broken(), row.broken) << row.name;
        EXPECT_EQ(seen.count, row.broken ? 1U : 2U) << "what came before is still seen";
    }
}

TEST(FrameCursor, SkipsAMessageOfTheLargestSizeByCount) {
    frame_cursor cursor;
    collector seen;
    feed(cursor, seen, "d\x40\x00\x00\x00"sv, {});
    const std::vector<std::uint8_t> chunk(1 << 20);
    for (std::size_t left = message_bytes_max - 4; left != 0;) {
        const std::size_t size = std::min(left, chunk.size());
        seen.messages.clear();
        ASSERT_EQ(cursor.scan(byte_view(chunk).first(size), seen), size);
        left -= size;
        ASSERT_EQ(cursor.body_remaining(), left);
    }
    feed(cursor, seen, message('c'), {});
    EXPECT_EQ(seen.count, 2U);
}

TEST(FrameCursor, StopsBeforeAMessageWithoutTakingIt) {
    const std::string stream = message('P', "abc") + message('S') + message('Q', "x");
    frame_cursor cursor;
    collector seen{.stop_before = 1};
    const exact_bytes whole(stream);
    EXPECT_EQ(cursor.scan(whole.view(), seen), 8U);
    EXPECT_TRUE(cursor.between_messages());
    EXPECT_EQ(cursor.scan(whole.view().subspan(8), seen), 0U);
    seen.stop_before = 9;
    EXPECT_EQ(cursor.scan(whole.view().subspan(8), seen), stream.size() - 8);
    EXPECT_EQ(seen.messages, "Pabc|S|Qx");
}

/// What a pump's visitor does: counts, and looks at one byte.
struct counter {
    std::size_t count = 0;
    unsigned sum = 0;
    static std::size_t prefix(std::uint8_t type) { return type == 'Z' ? 1 : 0; }
    bool on_message(const frame_cursor::message& m) {
        ++count;
        sum += m.type;
        return true;
    }
    void on_body(byte_view part) { sum += static_cast<unsigned>(part.size()); }
};

TEST(FrameCursor, AllocatesNothing) {
    std::string stream;
    for (const auto& talk : parse_conversations(golden_conversations))
        stream += stream_of(talk, false);
    frame_cursor cursor;
    counter seen;
    const auto bytes = as_bytes(stream);
    const std::size_t before = allocations;
    for (std::size_t piece : {1U, 7U, 64U, 1024U}) {
        std::size_t taken = 0;
        for (std::size_t end = piece; taken < bytes.size(); end += piece) {
            const std::size_t to = std::min(end, bytes.size());
            taken += cursor.scan(bytes.subspan(taken, to - taken), seen);
        }
    }
    EXPECT_EQ(allocations - before, 0U);
    EXPECT_GT(seen.count, 400U);
}

/// The other half of what a pump does for a message.
TEST(SessionState, AllocatesNothingUnlessPipelinesAreDeep) {
    session_state state;
    const std::size_t before = allocations;
    for (int round = 0; round < 1000; ++round) {
        for (const char type : "PBDESPBESQ"sv)
            state.on_frontend(static_cast<std::uint8_t>(type));
        for (const char type : "12TDCZ12CZTDCZ"sv)
            state.on_backend(static_cast<std::uint8_t>(type));
    }
    EXPECT_EQ(allocations - before, 0U);
    EXPECT_TRUE(state.at_boundary());
}

}  // namespace
}  // namespace pgsluice::protocol
