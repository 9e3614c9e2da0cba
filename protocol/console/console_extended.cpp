// The extended half of console_dialogue: prepared statements and portals.
#include "protocol/console/console_dialogue.hpp"
#include "protocol/wire/message_types.hpp"
#include "protocol/wire/messages.hpp"

#include <utility>

namespace pgsluice::protocol {

namespace {

failure violation(std::string what) {
    return {std::string(sqlstate::protocol_violation), std::move(what), {}, {}};
}

failure no_such(std::string_view code, std::string_view kind, std::string_view name) {
    return {
        std::string(code),
        name.empty() ? "there is no unnamed " + std::string(kind)
                     : std::string(kind) + " \"" + std::string(name) + "\" does not exist",
        {},
        {}};
}

failure too_many(std::string_view kind) {
    return {
        "54000",  // program_limit_exceeded
        "too many " + std::string(kind) + "s, the console keeps " +
            std::to_string(console_dialogue::names_max),
        {},
        "Close those that are not needed any more."};
}

}  // namespace

bool console_dialogue::handle_extended(const message& m) {
    result<void> done;
    if (m.type == frontend::Execute) {
        const auto runs = execute(m.body);
        if (runs) {
            return *runs;
        }
        done = runs.error();
    } else if (m.type == frontend::Parse) {
        done = parse(m.body);
    } else if (m.type == frontend::Bind) {
        done = bind(m.body);
    } else if (m.type == frontend::Describe) {
        done = describe(m.body);
    } else {
        done = close(m.body);
    }
    if (!done) {
        fail(done.error());
    }
    return false;
}

result<void> console_dialogue::parse(byte_view body) {
    const auto given = decode_parse(body);
    if (!given) {
        return given.error();
    }
    const std::string name(given->statement);
    if (!name.empty() && prepared_.contains(name)) {
        return failure{"42P05", "prepared statement \"" + name + "\" already exists", {}, {}};
    }
    if (!name.empty() && prepared_.size() >= names_max) {
        return too_many("prepared statement");
    }
    const auto statements = console_statements(given->query);
    if (statements.size() > 1) {
        return failure{
            "42601", "cannot insert multiple commands into a prepared statement", {}, {}};
    }
    prepared made{statements.empty() ? std::string() : std::string(statements.front())};
    if (!made.text.empty()) {
        const auto columns = describe_(made.text);
        if (!columns) {
            return columns.error();
        }
        made.columns = *columns;
    }
    prepared_.insert_or_assign(name, std::move(made));
    encode_bare(out_, backend::ParseComplete);
    return {};
}

result<void> console_dialogue::bind(byte_view body) {
    const auto given = decode_bind(body);
    if (!given) {
        return given.error();
    }
    const auto found = prepared_.find(given->statement);
    if (found == prepared_.end()) {
        return no_such("26000", "prepared statement", given->statement);
    }
    if (given->parameters.size() != 0) {
        return violation(
            "bind message supplies " + std::to_string(given->parameters.size()) +
            " parameters, but the console's statements take none"
        );
    }
    const std::string name(given->portal);
    if (!name.empty() && portals_.contains(name)) {
        return failure{"42P03", "cursor \"" + name + "\" already exists", {}, {}};
    }
    if (!name.empty() && portals_.size() >= names_max) {
        return too_many("portal");
    }
    portal made{.of = found->second};
    for (std::size_t i = 0; i < given->result_formats.size(); ++i) {
        made.formats.push_back(given->result_formats[i]);
        if (made.formats.back() != 0 && made.formats.back() != 1) {
            return failure{
                "22023", "unsupported format code: " + std::to_string(made.formats[i]), {}, {}};
        }
    }
    if (made.formats.size() > 1 && made.formats.size() != made.of.columns.size()) {
        return violation(
            "bind message has " + std::to_string(made.formats.size()) +
            " result formats but query has " + std::to_string(made.of.columns.size()) + " columns"
        );
    }
    portals_.insert_or_assign(name, std::move(made));
    encode_bare(out_, backend::BindComplete);
    return {};
}

result<void> console_dialogue::describe(byte_view body) {
    const auto what = decode_describe(body);
    if (!what) {
        return what.error();
    }
    const auto tell = [this](console_columns columns, std::span<const std::int16_t> formats) {
        if (columns.empty()) {
            encode_bare(out_, backend::NoData);
        } else {
            encode_row_description(out_, columns, formats);
        }
    };
    if (what->kind == 'P') {
        const auto found = portals_.find(what->name);
        if (found == portals_.end()) {
            return no_such("34000", "portal", what->name);
        }
        tell(found->second.of.columns, found->second.formats);
        return {};
    }
    const auto found = prepared_.find(what->name);
    if (found == prepared_.end()) {
        return no_such("26000", "prepared statement", what->name);
    }
    writer parameters(out_);
    parameters.begin_message(backend::ParameterDescription);
    parameters.u16(0);
    parameters.end_message();
    tell(found->second.columns, {});
    return {};
}

/// Whatever is not there is closed already.
result<void> console_dialogue::close(byte_view body) {
    const auto what = decode_close(body);
    if (!what) {
        return what.error();
    }
    const std::string name(what->name);
    if (what->kind == 'P') {
        portals_.erase(name);
    } else {
        prepared_.erase(name);
    }
    encode_bare(out_, backend::CloseComplete);
    return {};
}

/// True when the portal's statement has to be run first.
result<bool> console_dialogue::execute(byte_view body) {
    reader fields(body);
    const auto name = fields.cstring();
    const auto rows_max = fields.i32();
    if (!fields.at_end()) {
        return violation("malformed Execute message");
    }
    const auto found = portals_.find(*name);
    if (found == portals_.end()) {
        return no_such("34000", "portal", *name);
    }
    executed_ = found->first;
    rows_max_ = *rows_max;
    portal& that = found->second;
    if (that.of.text.empty()) {
        encode_bare(out_, backend::EmptyQueryResponse);
        return false;
    }
    if (that.answer) {
        if (that.of.columns.empty()) {
            return failure{"55000", "portal \"" + executed_ + "\" cannot be run again", {}, {}};
        }
        send_rows(that);
        return false;
    }
    running_ = that.of.text;
    return true;
}

/// As many rows as Execute asked for; what is left stays for the next one.
void console_dialogue::send_rows(portal& from) {
    const console_answer& answer = *from.answer;
    std::size_t left = rows_max_ > 0 ? static_cast<std::size_t>(rows_max_) : answer.rows.size();
    while (left > 0 && from.rows_sent < answer.rows.size()) {
        encode_data_row(out_, answer.columns, answer.rows[from.rows_sent], from.formats);
        ++from.rows_sent;
        --left;
    }
    if (from.rows_sent < answer.rows.size()) {
        encode_bare(out_, backend::PortalSuspended);
    } else {
        encode_command_complete(out_, answer.tag);
    }
}

}  // namespace pgsluice::protocol
