// Rows as DataRow messages, in text and in binary (numeric by the server's base-10000 digits).

#include "protocol/console/console_answer.hpp"

#include "protocol/wire/message_types.hpp"
#include "protocol/wire/wire.hpp"

#include <algorithm>
#include <charconv>

namespace pgsluice::protocol {

namespace {

std::int16_t bytes_of(column_type type) noexcept {
    switch (type) {
    case column_type::int8:
        return 8;
    case column_type::int4:
        return 4;
    case column_type::text:
    case column_type::numeric:
        break;
    }
    return -1;  // varies
}

/// The layout of numeric_send(): digits to the base of 10,000, the most significant first.
bool encode_numeric(std::string& out, std::string_view text) {
    constexpr std::size_t decimals_per_digit = 4;
    constexpr std::uint16_t negative = 0x4000;
    const bool is_negative = text.starts_with('-');
    text.remove_prefix(is_negative ? 1 : 0);
    if (text.empty() || text.find_first_not_of("0123456789") != std::string_view::npos) {
        return false;
    }
    text.remove_prefix(std::min(text.find_first_not_of('0'), text.size()));
    std::vector<std::uint16_t> digits;
    for (std::size_t left = text.size(); left > 0;) {
        const std::size_t count = (left - 1) % decimals_per_digit + 1;
        std::uint16_t digit = 0;
        std::from_chars(
            text.data() + (text.size() - left), text.data() + (text.size() - left) + count, digit
        );
        digits.push_back(digit);
        left -= count;
    }
    writer value(out);
    value.u16(static_cast<std::uint16_t>(digits.size()));
    value.i16(static_cast<std::int16_t>(digits.empty() ? 0 : digits.size() - 1));  // weight
    value.u16(is_negative && !digits.empty() ? negative : std::uint16_t{0});
    value.u16(0);  // digits behind the point
    for (const std::uint16_t digit : digits) {
        value.u16(digit);
    }
    return true;
}

}  // namespace

bool encode_binary_value(std::string& out, column_type type, std::string_view text) {
    writer value(out);
    if (type == column_type::text) {
        value.bytes(text);
        return true;
    }
    if (type == column_type::numeric) {
        return encode_numeric(out, text);
    }
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size()) {
        return false;
    }
    if (type == column_type::int4) {
        const auto narrow = static_cast<std::int32_t>(number);
        if (narrow != number) {
            return false;
        }
        value.i32(narrow);
        return true;
    }
    const auto bits = static_cast<std::uint64_t>(number);
    value.u32(static_cast<std::uint32_t>(bits >> 32));
    value.u32(static_cast<std::uint32_t>(bits));
    return true;
}

std::int16_t format_of(std::span<const std::int16_t> formats, std::size_t column) noexcept {
    return formats.empty() ? std::int16_t{0} : formats[formats.size() == 1 ? 0 : column];
}

void encode_row_description(
    std::string& out, console_columns columns, std::span<const std::int16_t> formats
) {
    writer message(out);
    message.begin_message(backend::RowDescription);
    message.u16(static_cast<std::uint16_t>(columns.size()));
    for (std::size_t i = 0; i < columns.size(); ++i) {
        message.cstring(columns[i].name);
        message.u32(0);  // of no table
        message.u16(0);
        message.u32(static_cast<std::uint32_t>(columns[i].type));
        message.i16(bytes_of(columns[i].type));
        message.i32(-1);  // no modifier
        message.i16(format_of(formats, i));
    }
    message.end_message();
}

void encode_data_row(
    std::string& out,
    console_columns columns,
    const console_row& row,
    std::span<const std::int16_t> formats
) {
    PGSLUICE_ASSERT(row.size() == columns.size());
    writer message(out);
    message.begin_message(backend::DataRow);
    message.u16(static_cast<std::uint16_t>(row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) {
        std::string binary;
        const bool is_binary = format_of(formats, i) == 1;
        const bool is_null =
            !row[i] || (is_binary && !encode_binary_value(binary, columns[i].type, *row[i]));
        if (is_null) {
            message.i32(-1);
            continue;
        }
        const std::string_view value = is_binary ? std::string_view(binary) : *row[i];
        message.i32(static_cast<std::int32_t>(value.size()));
        message.bytes(value);
    }
    message.end_message();
}

void encode_command_complete(std::string& out, std::string_view tag) {
    writer message(out);
    message.begin_message(backend::CommandComplete);
    message.cstring(tag);
    message.end_message();
}

void encode_bare(std::string& out, char type) {
    writer message(out);
    message.begin_message(type);
    message.end_message();
}

}  // namespace pgsluice::protocol
