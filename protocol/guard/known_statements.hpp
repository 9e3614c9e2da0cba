#pragma once

#include "protocol/sql/statement_kind.hpp"

#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace pgsluice::protocol {

/// The prepared statements that a session has by name, as far as a read-only guard must know them,
/// and how texts are read with them in mind: what EXECUTE would run decides what a text is.
class known_statements {
public:
    explicit known_statements(text_rules rules) : rules_(rules) {}

    const text_rules& rules() const noexcept { return rules_; }
    /// standard_conforming_strings or client_encoding has changed.
    void read_by(text_rules rules) noexcept { rules_ = rules; }

    /// A statement that exists already.
    void add(std::string_view name, std::string_view text);
    /// A statement that the client prepares; `reading` is not of kind `other`.
    void put(const std::string& name, statement_reading reading);
    /// There may be statements besides those added: they cannot be run.
    void distrust_others() noexcept { is_incomplete_ = true; }
    /// The statement does not exist any more, or it is of kind `other`.
    void forget(const std::string& name);
    void forget_all();

    /// What a named statement is taken for; null for kind `other`. Valid until the next change.
    const statement_reading* find(std::string_view name) const;

    /// What a text is taken for, with what its EXECUTE would run.
    statement_reading read(std::string_view text) const;

private:
    bool runs_denied(std::string_view text) const;

    text_rules rules_;
    std::map<std::string, statement_reading, std::less<>> readings_;  ///< those not `other`
    bool is_incomplete_ = false;  ///< some that could write are missing; then others are in, too
    bool has_denied_ = false;     ///< readings_ has one that is denied
};

}  // namespace pgsluice::protocol
