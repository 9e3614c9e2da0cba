// Whatever client and server say in whatever order, the guard answers with whole messages, and what
// it tells the client is whole messages.

#include "protocol/guard/read_only_guard.hpp"
#include "protocol/wire/message_types.hpp"
#include "tests/fuzz/input.hpp"

#include <string>

namespace {

using namespace pgsluice;
using namespace pgsluice::protocol;

void check_messages(std::string_view bytes) {
    while (!bytes.empty()) {
        PGSLUICE_ASSERT(bytes.size() >= 5);
        const std::size_t length = load_u32(as_bytes(bytes).data() + 1);
        PGSLUICE_ASSERT(length >= 4 && length + 1 <= bytes.size());
        bytes.remove_prefix(length + 1);
    }
}

fuzz::exact_block body_of(fuzz::input& in) {
    const std::size_t size = std::min<std::size_t>(in.byte(), in.rest().size());
    fuzz::exact_block body(in.rest().first(size));
    for (std::size_t i = 0; i < size; ++i)
        in.byte();
    return body;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    constexpr std::string_view client_types = "QPBDECFSHdcf";
    constexpr std::string_view server_types = "CEZDT123tnNASGHWVsI";
    fuzz::input in(data, size);
    const std::uint8_t choice = in.byte();
    read_only_guard guard({"app"}, {(choice & 1U) != 0, (choice & 2U) != 0});
    if ((choice & 4U) != 0)
        guard.knows("known", "select 1");
    if ((choice & 8U) != 0)
        guard.distrusts_unnamed();
    if ((choice & 32U) != 0)
        guard.knows_unnamed(as_bytes(std::string_view("\0select '\\'\0\0\0", 14)));
    if ((choice & 16U) != 0)
        guard.is_told_nothing();
    while (!in.empty()) {
        const std::uint8_t what = in.byte();
        const char asked = client_types[(what & 0x7fU) % client_types.size()];
        const bool from_client = (what & 0x80U) != 0 && guard.takes(asked);
        const char type = from_client ? asked : server_types[(what & 0x7fU) % server_types.size()];
        const auto body = body_of(in);
        if (from_client) {
            guard.on_client(type, body.view());
        } else if (guard.on_server(type, body.view()) == read_only_guard::reply::replace) {
            check_messages(guard.replacement());
        }
        check_messages(guard.take_to_server());
    }
    return 0;
}
