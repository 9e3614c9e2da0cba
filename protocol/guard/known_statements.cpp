// Statements of kind `other` are left out of the map: most are, and the guard treats a name that it
// does not find like one of them. Where the list may be incomplete, it is the other way round.

#include "protocol/guard/known_statements.hpp"

#include "protocol/sql/sql_lexer.hpp"

#include <utility>

namespace pgsluice::protocol {

void known_statements::add(std::string_view name, std::string_view text) {
    auto reading = read_statement(text, rules_);
    has_denied_ = has_denied_ || reading.kind == statement_kind::denied;
    if (reading.kind != statement_kind::other) {
        readings_.insert_or_assign(std::string(name), std::move(reading));
    }
}

void known_statements::put(const std::string& name, statement_reading reading) {
    readings_.insert_or_assign(name, std::move(reading));
}

void known_statements::forget(const std::string& name) {
    readings_.erase(name);
    if (is_incomplete_) {
        readings_.insert({name, statement_reading{}});
    }
}

void known_statements::forget_all() {
    readings_.clear();
    is_incomplete_ = false;
}

const statement_reading* known_statements::find(std::string_view name) const {
    static const statement_reading unknown{
        .kind = statement_kind::denied,
        .text = {},
        .denied_what = "a statement whose text is not known"};
    const auto found = readings_.find(name);
    if (found == readings_.end()) {
        return is_incomplete_ ? &unknown : nullptr;
    }
    return &found->second;
}

statement_reading known_statements::read(std::string_view text) const {
    statement_reading reading = read_statement(text, rules_);
    if ((has_denied_ || is_incomplete_) && !is_exact(reading.kind) && runs_denied(text)) {
        return {
            .kind = statement_kind::denied,
            .text = {},
            .denied_what = "a statement prepared earlier that could write"};
    }
    return reading;
}

bool known_statements::runs_denied(std::string_view text) const {
    using kind = sql_token::kind;
    sql_lexer lexer(text, rules_.standard_strings);
    bool executes = false;
    for (sql_token token = lexer.next(); token.what != kind::end; token = lexer.next()) {
        const bool is_word = token.what == kind::word;
        if (executes && (is_word || token.what == kind::quoted)) {
            const auto* known = find(is_word ? lower_case(token.text) : std::string(token.text));
            return known != nullptr && known->kind == statement_kind::denied;
        }
        executes = executes || token.is("execute");
    }
    return false;
}

}  // namespace pgsluice::protocol
