// JSON -> image. One read() a type; a list is a JSON array of them, null when the server had none.
// Fields are arrays, not objects: they repeat a lot, and the order is ours on both ends.

#include "proxy/image/image_decode.hpp"

#include <boost/json.hpp>

#include <algorithm>
#include <charconv>
#include <limits>

namespace pgsluice::proxy {

namespace {

namespace json = boost::json;

bool read(const json::value& from, std::string& to) {
    if (!from.is_string())
        return false;
    to = from.get_string();
    return true;
}

bool read(const json::value& from, bool& to) {
    if (!from.is_bool())
        return false;
    to = from.get_bool();
    return true;
}

bool read(const json::value& from, std::int64_t& to) {
    if (!from.is_int64())
        return false;
    to = from.get_int64();
    return true;
}

bool read(const json::value& from, std::uint32_t& to) {
    std::int64_t wide = 0;
    if (!read(from, wide) || wide < 0 || wide > std::numeric_limits<std::uint32_t>::max())
        return false;
    to = static_cast<std::uint32_t>(wide);
    return true;
}

template <class T>
bool read(const json::value& from, std::vector<T>& to);

/// Reads a JSON array of exactly these fields.
template <class... Fields>
bool read_fields(const json::value& from, Fields&... to) {
    if (!from.is_array() || from.get_array().size() != sizeof...(to))
        return false;
    const auto* next = from.get_array().data();
    return (read(*next++, to) && ...);
}

bool read(const json::value& from, setting& to) {
    // reset_val is null for a setting that nothing ever set.
    const auto* fields = from.if_array();
    const bool has_reset = fields != nullptr && fields->size() == 5 && !(*fields)[3].is_null();
    if (has_reset)
        return read_fields(from, to.name, to.value, to.source, to.reset_value, to.context);
    return fields != nullptr && fields->size() == 5 && read((*fields)[0], to.name) &&
           read((*fields)[1], to.value) && read((*fields)[2], to.source) &&
           read((*fields)[4], to.context);
}

bool read(const json::value& from, custom_setting& to) {
    return read_fields(from, to.name, to.value);
}

bool read(const json::value& from, prepared_statement& to) {
    return read_fields(from, to.name, to.is_from_sql, to.text, to.parameter_types);
}

bool read(const json::value& from, user_type& to) {
    return read_fields(from, to.oid, to.schema, to.name);
}

bool is_lock_key(const advisory_lock& lock) {
    const auto digits = [](std::string_view number) {
        std::int64_t value = 0;
        const auto* end = number.data() + number.size();
        const auto parsed = std::from_chars(number.data(), end, value);
        return parsed.ec == std::errc{} && parsed.ptr == end;
    };
    const std::string_view key = lock.key;
    const auto comma = key.find(',');
    if (!lock.is_pair)
        return digits(key);
    return comma != key.npos && digits(key.substr(0, comma)) && digits(key.substr(comma + 1));
}

bool read(const json::value& from, advisory_lock& to) {
    return read_fields(from, to.is_pair, to.key, to.is_shared) && is_lock_key(to);
}

/// Appends to `to`.
template <class T>
bool read(const json::value& from, std::vector<T>& to) {
    if (from.is_null())
        return true;
    if (!from.is_array())
        return false;
    to.reserve(to.size() + from.get_array().size());
    for (const auto& element : from.get_array()) {
        if (!read(element, to.emplace_back()))
            return false;
    }
    return true;
}

bool read_version(const json::value& from, int& to) {
    std::string text;
    if (!read(from, text))
        return false;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), to);
    return parsed.ec == std::errc{} && parsed.ptr == text.data() + text.size();
}

/// current_setting() shows units ("1500ms", "2min"); pg_settings.setting, which is replayed and
/// compared, counts milliseconds.
bool read_milliseconds(const json::value& from, std::string& to) {
    std::string text;
    if (!read(from, text))
        return false;
    std::int64_t count = 0;
    const auto* end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data(), end, count);
    const std::string_view unit(parsed.ptr, static_cast<std::size_t>(end - parsed.ptr));
    constexpr std::pair<std::string_view, std::int64_t> units[] = {
        {"", 1}, {"ms", 1}, {"s", 1000}, {"min", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}};
    const auto known =
        std::ranges::find(units, unit, &std::pair<std::string_view, std::int64_t>::first);
    if (parsed.ec != std::errc{} || known == std::end(units))
        return false;
    to = std::to_string(count * known->second);
    return true;
}

bool read_strings(const json::value& from, bool& to) {
    std::string text;
    to = read(from, text) && text == "on";
    return !text.empty();
}

bool read_member(std::string_view key, const json::value& from, decoded_capture& capture) {
    auto& image = capture.image;
    // clang-format off
    if (key == "version") return read_version(from, image.server_version_num);
    if (key == "pid") return read(from, image.backend_pid);
    if (key == "encoding") return read(from, image.database_encoding);
    if (key == "client_encoding") return read(from, image.client_encoding);
    if (key == "strings") return read_strings(from, image.has_standard_strings);
    if (key == "session_user") return read(from, image.session_user);
    if (key == "current_user") return read(from, image.current_user);
    if (key == "role") return read(from, image.role);
    if (key == "settings") return read(from, image.settings);
    if (key == "registered") return read(from, image.registered_names);
    if (key == "statements") return read(from, image.statements);
    if (key == "types") return read(from, image.types);
    if (key == "channels") return read(from, image.channels);
    if (key == "locks") return read(from, image.locks);
    if (key == "hold_cursors") return read(from, image.hold_cursors);
    if (key == "temp") return read(from, image.has_temp_objects);
    if (key == "custom") return read(from, image.custom_settings);
    if (key == "statement_timeout") return read_milliseconds(from, capture.lifted_timeout);
    // clang-format on
    return key == "lifted";
}

failure not_a_capture(std::string_view what) {
    return {
        .sqlstate = std::string(sqlstate::internal_error),
        .message = "the server's answer to the capture of a session is not understood",
        .detail = std::string(what),
        .hint = {},
    };
}

}  // namespace

result<void> decode_capture(std::string_view text, decoded_capture& capture) {
    json::parse_options options;
    options.max_depth = 8;
    options.allow_invalid_utf8 = true;  // other server encodings
    boost::system::error_code error;
    const auto parsed = json::parse(text, error, {}, options);
    if (error)
        return not_a_capture(error.message());
    const auto* object = parsed.if_object();
    if (object == nullptr)
        return not_a_capture("not a JSON object");
    for (const auto& [key, value] : *object) {
        if (!read_member({key.data(), key.size()}, value, capture))
            return not_a_capture(key);
    }
    return {};
}

}  // namespace pgsluice::proxy
