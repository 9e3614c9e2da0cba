// A stream presented in pieces is framed as if it came at once, and what is left over between
// pieces never exceeds its limit.

#include "protocol/wire/frame.hpp"
#include "tests/fuzz/input.hpp"

#include <string>

namespace {

using namespace pgsluice;
using protocol::frame_cursor;

struct recorder {
    std::size_t prefix_bytes;
    std::uint8_t refused;  ///< on_message() stops before this type
    std::string seen;

    std::size_t prefix(std::uint8_t type) const noexcept {
        return type % 2 == 0 ? prefix_bytes : 0;
    }

    bool on_message(const frame_cursor::message& m) {
        if (m.type == refused)
            return false;
        PGSLUICE_ASSERT(
            m.body_so_far.size() >= std::min<std::size_t>(prefix(m.type), m.body_bytes)
        );
        PGSLUICE_ASSERT(m.body_so_far.size() <= m.body_bytes);
        seen += std::to_string(m.type) + ":" + std::to_string(m.body_bytes) + ":";
        on_body(m.body_so_far);
        return true;
    }

    void on_body(protocol::byte_view part) { seen += protocol::as_text(part); }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::input in(data, size);
    const std::size_t prefix = in.byte() % (frame_cursor::prefix_bytes_max + 1);
    const std::uint8_t refused = in.byte();
    const std::uint8_t steps[] = {in.byte(), in.byte(), in.byte(), in.byte()};
    const protocol::byte_view stream = in.rest();

    const fuzz::exact_block whole(stream);
    frame_cursor at_once;
    recorder expected{prefix, refused, {}};
    const std::size_t consumed = at_once.scan(whole.view(), expected);
    PGSLUICE_ASSERT(consumed <= stream.size());

    frame_cursor in_pieces;
    recorder seen{prefix, refused, {}};
    std::size_t taken = 0;
    std::size_t presented = 0;
    for (std::size_t i = 0; presented < stream.size() && !in_pieces.broken(); ++i) {
        presented = std::min(stream.size(), presented + 1 + steps[i % 4] % 32);
        const fuzz::exact_block piece(stream.subspan(taken, presented - taken));
        taken += in_pieces.scan(piece.view(), seen);
        PGSLUICE_ASSERT(taken <= presented);
        const bool stopped = taken < presented && stream[taken] == refused;
        PGSLUICE_ASSERT(
            in_pieces.broken() || stopped || presented - taken <= frame_cursor::leftover_bytes_max
        );
    }
    PGSLUICE_ASSERT(taken == consumed);
    PGSLUICE_ASSERT(seen.seen == expected.seen);
    PGSLUICE_ASSERT(in_pieces.broken() == at_once.broken());
    PGSLUICE_ASSERT(in_pieces.body_remaining() == at_once.body_remaining());
    return 0;
}
