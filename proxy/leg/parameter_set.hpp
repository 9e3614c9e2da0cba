#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace pgsluice::proxy {

/// The run-time parameters a backend has reported (ParameterStatus): some 14 short pairs a session,
/// so they are kept as one string "name NUL value NUL ...", in the order first reported.
class parameter_set {
public:
    void set(std::string_view name, std::string_view value);
    std::optional<std::string_view> find(std::string_view name) const noexcept;
    bool empty() const noexcept { return pairs_.empty(); }

    /// visit(name, value) for every pair.
    template <class Visit>
    void for_each(Visit&& visit) const {
        for (std::size_t at = 0; at < pairs_.size();) {
            const std::string_view name = text_at(at);
            const std::string_view value = text_at(at + name.size() + 1);
            visit(name, value);
            at += name.size() + value.size() + 2;
        }
    }

private:
    std::string_view text_at(std::size_t at) const noexcept { return pairs_.c_str() + at; }

    std::string pairs_;
};

}  // namespace pgsluice::proxy
