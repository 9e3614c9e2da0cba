// More bytes never change an answer that a prefix has had, and no header is longer than its limit.

#include "protocol/wire/proxy_header.hpp"
#include "tests/fuzz/input.hpp"

namespace {

using namespace pgsluice;
using namespace pgsluice::protocol;

using answer = result<std::variant<need_more, complete_proxy_header>>;

constexpr std::size_t header_max_bytes = 16 + proxy_block_max_bytes;

bool same(const answer& one, const answer& other) {
    if (!one || !other)
        return !one && !other && one.error().message == other.error().message;
    const auto* a = std::get_if<complete_proxy_header>(&*one);
    const auto* b = std::get_if<complete_proxy_header>(&*other);
    return a != nullptr && b != nullptr && a->bytes_consumed == b->bytes_consumed &&
           a->client == b->client;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::input in(data, size);
    std::size_t cut_hint = in.byte();
    cut_hint = cut_hint * 256 + in.byte();
    const fuzz::exact_block whole(in.rest());
    const answer full = parse_proxy_header(whole.view());
    if (full && std::holds_alternative<complete_proxy_header>(*full)) {
        PGSLUICE_ASSERT(
            std::get<complete_proxy_header>(*full).bytes_consumed <= whole.view().size()
        );
    }

    const fuzz::exact_block prefix(in.rest().first(cut_hint % (in.rest().size() + 1)));
    const answer early = parse_proxy_header(prefix.view());
    if (early && std::holds_alternative<need_more>(*early)) {
        const std::size_t wanted = std::get<need_more>(*early).bytes_wanted;
        PGSLUICE_ASSERT(wanted > prefix.view().size() && wanted <= header_max_bytes);
    } else {
        PGSLUICE_ASSERT(same(early, full));
    }
    return 0;
}
