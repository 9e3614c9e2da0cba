#pragma once

#include "protocol/wire/messages.hpp"
#include "proxy/image/script.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::proxy {

/// One backend message: type and body.
struct answer {
    char type = 0;
    std::string body;
};

using answers = std::vector<answer>;

inline answer parse_complete() {
    return {'1', {}};
}
inline answer bind_complete() {
    return {'2', {}};
}
inline answer close_complete() {
    return {'3', {}};
}
inline answer command_complete() {
    return {'C', std::string("SELECT 1\0", 9)};
}
inline answer ready(char status = 'I') {
    return {'Z', std::string(1, status)};
}

inline answer data_row(const std::vector<std::optional<std::string>>& columns) {
    answer row{'D', {}};
    protocol::writer out(row.body);
    out.u16(static_cast<std::uint16_t>(columns.size()));
    for (const auto& column : columns) {
        out.i32(column ? static_cast<std::int32_t>(column->size()) : -1);
        out.bytes(column ? std::string_view(*column) : std::string_view());
    }
    return row;
}

inline answer error(std::string_view code, std::string_view severity = "ERROR", char type = 'E') {
    answer message{type, {}};
    protocol::writer out(message.body);
    for (const auto& [field, text] :
         {std::pair('S', severity),
          std::pair('V', severity),
          std::pair('C', code),
          std::pair('M', std::string_view("went wrong"))}) {
        out.u8(static_cast<std::uint8_t>(field));
        out.cstring(text);
    }
    out.u8(0);
    return message;
}

/// What a server without a fault answers to a script; `rows` are handed to questions in turn, every
/// other execution answers `t`.
inline answers good_answers(const script& to, std::vector<std::string> rows = {}) {
    answers all;
    unsigned group = 0;
    std::size_t next_row = 0;
    for (const auto& step : to.steps) {
        for (; group < step.sync_group; ++group)
            all.push_back(ready());
        switch (step.ends_with) {
        case script_step::kind::parse:
            all.push_back(parse_complete());
            break;
        case script_step::kind::close:
            all.push_back(close_complete());
            break;
        case script_step::kind::describe:
            all.push_back({'t', std::string(2, '\0')});
            all.push_back({'n', {}});
            break;
        case script_step::kind::execute:
            all.push_back(bind_complete());
            if (step.item == script_item::question && next_row < rows.size())
                all.push_back(data_row({rows[next_row++]}));
            else if (step.item != script_item::question)
                all.push_back(data_row({"t"}));
            all.push_back(command_complete());
            break;
        }
    }
    for (; group < to.ready_expected; ++group)
        all.push_back(ready());
    return all;
}

/// Feeds all of it; the reader must be done with the last message and not before.
inline script_outcome outcome_of(const script& what, const answers& from_server) {
    script_reader reader(what);
    for (std::size_t i = 0; i < from_server.size() && !reader.is_done(); ++i)
        reader.on_message(from_server[i].type, protocol::as_bytes(from_server[i].body));
    return reader.take();
}

inline std::vector<std::string> labels(const script& of) {
    std::vector<std::string> all;
    for (const auto& step : of.steps) {
        if (step.ends_with == script_step::kind::execute || step.item != script_item::protocol)
            all.push_back(step.label);
    }
    return all;
}

}  // namespace pgsluice::proxy
