#pragma once

#include "protocol/errors.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// What a console answers to one statement, and how that is put on the wire: the messages that only
// a server sends, sections 55.2.2 "Simple Query" and 55.7 "Message Formats" of the manual.

namespace pgsluice::protocol {

/// Types of columns, with the OIDs of pg_type.
enum class column_type : std::uint32_t { int8 = 20, int4 = 23, text = 25, numeric = 1700 };

struct console_column {
    std::string_view name;  ///< lives as long as the program
    column_type type = column_type::text;

    friend bool operator==(const console_column&, const console_column&) = default;
};
using console_columns = std::span<const console_column>;

/// One row: a text for each column, NULL as nullopt. Numbers are digits with an optional minus.
using console_row = std::vector<std::optional<std::string>>;

/// The outcome of one statement: a failure, or a tag and, where there are columns, rows.
struct console_answer {
    std::optional<failure> error{};
    std::vector<failure> notices{};  ///< shown before anything else
    console_columns columns{};       ///< empty: the statement yields no rows
    std::vector<console_row> rows{};
    std::string tag{};  ///< of CommandComplete

    static console_answer failed(failure why) {
        console_answer answer;
        answer.error = std::move(why);
        return answer;
    }
    static console_answer done(std::string tag) {
        console_answer answer;
        answer.tag = std::move(tag);
        return answer;
    }
};

/// Appends one value as a DataRow holds it in binary, without its length; false for a text that is
/// not a number of the column's type.
bool encode_binary_value(std::string& out, column_type type, std::string_view text);

/// `formats` as in Bind::result_formats: none mean text, one is for all columns.
std::int16_t format_of(std::span<const std::int16_t> formats, std::size_t column) noexcept;

void encode_row_description(
    std::string& out, console_columns columns, std::span<const std::int16_t> formats
);
/// A value that is no number where the column says so is sent as NULL in binary.
void encode_data_row(
    std::string& out,
    console_columns columns,
    const console_row& row,
    std::span<const std::int16_t> formats
);
void encode_command_complete(std::string& out, std::string_view tag);
/// One of the messages without a body: ParseComplete, NoData, ...
void encode_bare(std::string& out, char type);

}  // namespace pgsluice::protocol
