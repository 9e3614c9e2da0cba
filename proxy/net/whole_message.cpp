// Reading until one message of the protocol is complete, within a limit of bytes.

#include "proxy/net/whole_message.hpp"

#include "protocol/wire/wire.hpp"

namespace pgsluice::proxy {

namespace {

constexpr std::size_t header_bytes = 5;
constexpr std::size_t read_bytes = 4 * 1024;  // a login's messages; they are zeroed first

}  // namespace

std::optional<whole_message> message_at(byte_view bytes, std::size_t bytes_max, bool& broken) {
    if (bytes.size() < header_bytes) {
        return std::nullopt;
    }
    const std::size_t length = protocol::load_u32(bytes.data() + 1);
    if (length < 4 || length > bytes_max) {
        broken = true;
        return std::nullopt;
    }
    if (bytes.size() < length + 1) {
        return std::nullopt;
    }
    return whole_message{
        bytes[0], bytes.first(length + 1), bytes.subspan(header_bytes, length + 1 - header_bytes)};
}

task<io_result>
read_more(stream& s, wait_point& point, std::vector<std::uint8_t>& buffer, steady_time deadline) {
    const std::size_t before = buffer.size();
    buffer.resize(before + read_bytes);
    const io_result r = co_await read_answer(s, point, std::span(buffer).subspan(before), deadline);
    buffer.resize(before + r.bytes);
    co_return r;
}

}  // namespace pgsluice::proxy
