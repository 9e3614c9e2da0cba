#pragma once

#include "control/preflight/check_row.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::control {

/// What one check has to say: rows for findings, at most ten and then a count.
class verdicts {
public:
    /// `level` is that of the findings: warning or error. Rows are appended to `rows`, which must
    /// outlive the object.
    verdicts(std::string_view check, check_level level, std::vector<check_row>& rows)
        : check_(check), level_(level), rows_(rows) {}

    /// A finding that the check is there for. `mend` is the command that does away with it.
    void bad(std::string text, std::string mend = {}) {
        add(level_, std::move(text), std::move(mend));
    }
    /// Something to know: a warning at every level.
    void note(std::string text, std::string mend = {}) {
        add(check_level::warning, std::move(text), std::move(mend));
    }
    /// Nothing to object to, in words.
    void good(std::string text) {
        rows_.push_back({std::string(check_), check_level::ok, std::move(text), {}});
    }
    std::size_t findings() const { return findings_; }

    /// Adds the count of the findings that were not shown, or `sound` when there were none.
    void close(std::string_view sound);

private:
    void add(check_level level, std::string text, std::string mend);

    std::string_view check_;
    check_level level_;
    std::vector<check_row>& rows_;
    std::size_t findings_ = 0;
    check_level worst_untold_ = check_level::ok;
};

}  // namespace pgsluice::control
