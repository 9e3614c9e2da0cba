// Reported parameters, compared without regard to the case of their names.

#include "proxy/leg/parameter_set.hpp"

namespace pgsluice::proxy {

void parameter_set::set(std::string_view name, std::string_view value) {
    for (std::size_t at = 0; at < pairs_.size();) {
        const std::string_view known = text_at(at);
        const std::size_t value_at = at + known.size() + 1;
        const std::size_t value_bytes = text_at(value_at).size();
        if (known == name) {
            pairs_.replace(value_at, value_bytes, value);
            return;
        }
        at = value_at + value_bytes + 1;
    }
    pairs_.append(name).append(1, '\0').append(value).append(1, '\0');
    pairs_.shrink_to_fit();
}

std::optional<std::string_view> parameter_set::find(std::string_view name) const noexcept {
    std::optional<std::string_view> found;
    for_each([&](std::string_view known, std::string_view value) {
        if (known == name) {
            found = value;
        }
    });
    return found;
}

}  // namespace pgsluice::proxy
