// How the client's unnamed statement is remembered, and when it must be parsed again.

#include "protocol/guard/unnamed_statement.hpp"

#include "protocol/sql/sql_text.hpp"

namespace pgsluice::protocol {

unnamed_statement
unnamed_statement::of(byte_view body, const Parse& message, const statement_reading& reading) {
    const bool is_short = body.size() <= parse_bytes_max;
    return {
        is_short ? state::known : state::stays,
        std::string(is_short ? as_text(body) : std::string_view()),
        is_plain_text(message.query),
        protocol::takes_snapshot(message.query),
        reading};
}

unnamed_statement unnamed_statement::strange() {
    return {
        state::stays,
        {},
        true,
        false,
        {statement_kind::denied, {}, "a statement whose text is not known"}};
}

void unnamed_statement::outlive_settings(bool is_taken) {
    if (what != state::known || is_plain) {
        return;
    }
    if (is_taken) {
        *this = strange();
    }
    what = is_taken ? state::lost : state::stays;
    parse = {};
}

}  // namespace pgsluice::protocol
