// Movable or not, and why: one small rule a kind of state.

#include "proxy/image/movability.hpp"

#include "proxy/image/sql_prepare.hpp"

#include <algorithm>
#include <utility>

namespace pgsluice::proxy {

namespace {

bool is_described(const session_image& image, std::uint32_t oid) {
    return oid < first_unstable_oid ||
           std::ranges::binary_search(image.types, oid, {}, &user_type::oid);
}

/// Text that the server would lex differently now than when the statement was prepared.
bool is_lexed_anew(const prepared_statement& statement, const wire_knowledge& wire) {
    return wire.lexing_changed && statement.text.find('\\') != statement.text.npos;
}

void judge_statement(
    const session_image& image,
    const prepared_statement& statement,
    const wire_knowledge& wire,
    std::vector<pin>& pins
) {
    const bool has_standard_strings = image.has_standard_strings && !wire.lexing_changed;
    if (statement.is_from_sql) {
        const auto cut = cut_prepare({statement.name, statement.text, has_standard_strings});
        if (!cut)
            pins.push_back({pin_code::sql_prepared, cut.error().message + ": " + cut.error().detail}
            );
    } else if (is_lexed_anew(statement, wire)) {
        pins.push_back(
            {pin_code::statement,
             "prepared statement \"" + statement.name +
                 "\" has a backslash and standard_conforming_strings was changed"}
        );
    }
    for (const auto oid : statement.parameter_types) {
        if (!is_described(image, oid))
            pins.push_back(
                {pin_code::unknown_type,
                 "prepared statement \"" + statement.name + "\" has a parameter of type " +
                     std::to_string(oid) + ", which does not exist any more"}
            );
    }
}

void judge_wire(const wire_knowledge& wire, std::vector<pin>& pins) {
    if (wire.lacks_credentials)
        pins.push_back({pin_code::credentials, "the login asked for a password"});
    if (wire.is_replication)
        pins.push_back({pin_code::replication, "a replication connection"});
    if (wire.names_incomplete)
        pins.push_back({pin_code::custom_guc, "set_config() was called with a computed name"});
    if (wire.protocol_uncertain)
        pins.push_back({pin_code::protocol, "the conversation could not be followed"});
}

}  // namespace

std::string_view to_string(pin_code code) noexcept {
    switch (code) {
    case pin_code::temp:
        return "temp";
    case pin_code::hold_cursor:
        return "hold_cursor";
    case pin_code::credentials:
        return "credentials";
    case pin_code::replication:
        return "replication";
    case pin_code::sql_prepared:
        return "sql_prepared";
    case pin_code::statement:
        return "statement";
    case pin_code::unnamed_statement:
        return "unnamed_statement";
    case pin_code::currval:
        return "currval";
    case pin_code::custom_guc:
        return "custom_guc";
    case pin_code::guc:
        return "guc";
    case pin_code::role:
        return "role";
    case pin_code::listen:
        return "listen";
    case pin_code::advisory_lock:
        return "advisory_lock";
    case pin_code::unknown_type:
        return "unknown_type";
    case pin_code::encoding:
        return "encoding";
    case pin_code::statement_timeout:
        return "statement_timeout";
    case pin_code::capture_failed:
        return "capture_failed";
    case pin_code::state_differs:
        return "state_differs";
    case pin_code::protocol:
        return "protocol";
    }
    return "protocol";
}

std::vector<pin_reason> reasons_of(const std::vector<pin>& pins) {
    std::vector<pin_reason> all;
    all.reserve(pins.size());
    for (const pin& p : pins)
        all.push_back({std::string(to_string(p.code)), p.text});
    return all;
}

std::vector<pin_reason> one_reason(pin_code code, std::string text) {
    return {{std::string(to_string(code)), std::move(text)}};
}

verdict judge(const session_image& image, const wire_knowledge& wire) {
    verdict v;
    judge_wire(wire, v.pins);
    if (wire.uses_currval)
        v.pins.push_back({pin_code::currval, "currval() or lastval() was called"});
    else if (image.is_currval_defined)
        v.pins.push_back({pin_code::currval, "currval() and lastval() are defined"});
    if (image.has_temp_objects)
        v.pins.push_back({pin_code::temp, "temporary objects exist"});
    for (const auto& cursor : image.hold_cursors)
        v.pins.push_back({pin_code::hold_cursor, "cursor \"" + cursor + "\" WITH HOLD is open"});
    if (image.has_unnamed_statement.value_or(false) && !wire.knows_unnamed)
        v.pins.push_back({pin_code::unnamed_statement, "its unnamed statement was not kept"});
    for (const auto& statement : image.statements)
        judge_statement(image, statement, wire, v.pins);
    return v;
}

}  // namespace pgsluice::proxy
