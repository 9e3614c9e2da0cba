// Mirrors ProcessStartupPacket() of the server: same limits, same order of checks, same texts. The
// one known difference: the server does not look whether the last byte really is NUL, we do.

#include "protocol/wire/startup.hpp"

#include "protocol/wire/message_types.hpp"

#include <algorithm>

namespace pgsluice::protocol {

namespace {

constexpr std::size_t header_bytes = 8;  // length and code

using parse_result = result<std::variant<need_more, complete_startup>>;

failure violation(std::string message, std::string detail = {}) {
    return {std::string(sqlstate::protocol_violation), std::move(message), std::move(detail), {}};
}

failure bad_length(std::int32_t length) {
    return violation(
        "invalid length of startup packet",
        "The packet says it has " + std::to_string(length) + " bytes; 8 to " +
            std::to_string(startup_packet_max_bytes) + " are allowed."
    );
}

failure unsupported_version(std::uint32_t code) {
    return {
        std::string(sqlstate::feature_not_supported),
        "unsupported frontend protocol " + std::to_string(code >> 16) + "." +
            std::to_string(code & 0xffff) + ": server supports 3.0 to 3.2",
        {},
        {}};
}

/// Takes one name and value. Yields false at the end of the list, well terminated or not.
bool next_parameter(reader& list, startup_parameter& parameter) noexcept {
    const auto name = list.cstring();
    if (!name || name->empty())
        return false;
    const auto value = list.cstring();
    if (!value)
        return false;
    parameter = {*name, *value};
    return true;
}

parse_result parse_parameters(byte_view packet) {
    reader list(packet.subspan(header_bytes));
    for (startup_parameter ignored; next_parameter(list, ignored);) {
    }
    if (!list.at_end())
        return violation("invalid startup packet layout: expected terminator as last byte");
    return complete_startup{StartupMessage(std::string(as_text(packet))), packet.size()};
}

parse_result parse_cancel(byte_view packet) {
    reader body(packet.subspan(header_bytes));
    const auto pid = body.i32();
    const auto key = body.rest();
    if (!pid || key.size() < cancel_key_min_bytes || key.size() > cancel_key_max_bytes)
        return violation(
            "invalid length of cancel request packet",
            "The packet has " + std::to_string(packet.size()) + " bytes; 16 to 268 are allowed."
        );
    return complete_startup{CancelRequest{*pid, std::string(as_text(key))}, packet.size()};
}

template <class Request>
parse_result parse_encryption_request(byte_view packet, std::size_t length) {
    if (length != header_bytes)
        return bad_length(static_cast<std::int32_t>(length));
    return complete_startup{Request{}, packet.size()};
}

/// True where the server's parse_bool() reads false: 0, off and every unambiguous prefix.
bool is_false(std::string_view value) noexcept {
    constexpr std::string_view words[] = {"false", "no", "off", "0"};
    const auto same = [](char given, char wanted) {
        return (given >= 'A' && given <= 'Z' ? given - 'A' + 'a' : given) == wanted;
    };
    return std::ranges::any_of(words, [&](std::string_view word) {
        const std::size_t least = word == "off" ? 2 : 1;  // "o" might be "on"
        return value.size() >= least && value.size() <= word.size() &&
               std::ranges::equal(value, word.substr(0, value.size()), same);
    });
}

}  // namespace

std::vector<startup_parameter> StartupMessage::parameters() const {
    std::vector<startup_parameter> all;
    reader list(as_bytes(packet_).subspan(header_bytes));
    for (startup_parameter one; next_parameter(list, one);)
        all.push_back(one);
    return all;
}

std::optional<std::string_view> StartupMessage::find(std::string_view name) const noexcept {
    std::optional<std::string_view> found;
    reader list(as_bytes(packet_).subspan(header_bytes));
    for (startup_parameter one; next_parameter(list, one);) {
        if (one.name == name)
            found = one.value;
    }
    return found;
}

std::string_view StartupMessage::database() const noexcept {
    const auto given = find("database");
    return given && !given->empty() ? *given : user();
}

bool StartupMessage::wants_replication() const noexcept {
    const auto given = find("replication");
    return given && !is_false(*given);
}

StartupMessage StartupMessage::as_user(std::string_view name) const {
    return of(name, database());
}

StartupMessage StartupMessage::with_database(std::string_view name) const {
    return of(user(), name);
}

StartupMessage StartupMessage::of(std::string_view user, std::string_view database) const {
    std::vector<startup_parameter> changed{{"user", user}, {"database", database}};
    for (const startup_parameter& each : parameters()) {
        if (each.name != "user" && each.name != "database")
            changed.push_back(each);
    }
    std::string packet;
    encode_startup(packet, load_i32(as_bytes(packet_).data() + 4), changed);
    return StartupMessage(std::move(packet));
}

StartupMessage StartupMessage::with(std::string_view name, std::string_view value) const {
    std::vector<startup_parameter> changed;
    for (const startup_parameter& each : parameters()) {
        if (each.name != name)
            changed.push_back(each);
    }
    changed.push_back({name, value});
    std::string packet;
    encode_startup(packet, load_i32(as_bytes(packet_).data() + 4), changed);
    return StartupMessage(std::move(packet));
}

result<std::variant<need_more, complete_startup>> parse_startup(byte_view received) {
    if (received.size() < 4)
        return need_more{header_bytes};
    const std::int32_t signed_length = load_i32(received.data());
    if (signed_length < std::int32_t{startup_packet_min_bytes} ||
        signed_length > std::int32_t{startup_packet_max_bytes})
        return bad_length(signed_length);
    if (received.size() < header_bytes)
        return need_more{header_bytes};

    const auto length = static_cast<std::size_t>(signed_length);
    const std::uint32_t code = load_u32(received.data() + 4);
    const byte_view packet = received.first(std::min(length, received.size()));
    switch (static_cast<std::int32_t>(code)) {
    case startup_code::SSLRequest:
        return parse_encryption_request<SSLRequest>(packet, length);
    case startup_code::GSSENCRequest:
        return parse_encryption_request<GSSENCRequest>(packet, length);
    case startup_code::CancelRequest:
        break;
    default:
        if (code >> 16 != 3)
            return unsupported_version(code);
    }
    if (packet.size() < length)
        return need_more{length};
    return code == std::uint32_t{startup_code::CancelRequest} ? parse_cancel(packet)
                                                              : parse_parameters(packet);
}

void encode_startup(
    std::string& out, std::int32_t code, std::span<const startup_parameter> parameters
) {
    writer packet(out);
    packet.begin_untyped_message();
    packet.i32(code);
    for (const auto& [name, value] : parameters) {
        PGSLUICE_ASSERT(!name.empty());
        packet.cstring(name);
        packet.cstring(value);
    }
    packet.u8(0);
    packet.end_message();
}

void encode_cancel_request(std::string& out, std::int32_t pid, byte_view key) {
    writer packet(out);
    packet.begin_untyped_message();
    packet.i32(startup_code::CancelRequest);
    packet.i32(pid);
    packet.bytes(key);
    packet.end_message();
}

}  // namespace pgsluice::protocol
