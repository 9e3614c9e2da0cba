// What the daemon tells without doing anything.
#include "control/daemon/daemon.hpp"
#include "control/journal/events.hpp"

#include <boost/json/array.hpp>

#include <charconv>
#include <optional>

namespace pgsluice::control {

namespace json = boost::json;

outcome daemon::events(const request& given) const {
    constexpr std::string_view last_default = "50";
    event_filter wanted{.service = given.service, .after = 0, .last = 0};
    const auto number = [&given](std::string_view name, std::string_view initial) {
        const std::string text = given.text(name, initial);
        std::uint64_t value = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        const bool is_whole = error == std::errc{} && end == text.data() + text.size();
        return is_whole ? std::optional(value) : std::nullopt;
    };
    const auto after = number("after", "0");
    const auto last = number("last", given.has("after") ? "0" : last_default);
    if (!after || !last) {
        return outcome::of(
            exit_code::usage,
            std::string(after ? "--last" : "--after") + " is not valid, expected a whole number"
        );
    }
    wanted.after = *after;
    wanted.last = *last;
    const auto records = log_->read();
    if (!records) {
        return outcome::of(exit_code::failed, records.error().message);
    }
    return outcome::done({{"events", events_json(*records, wanted)}});
}

outcome daemon::status(const request& given) {
    json::array services;
    for (const auto& service : services_) {
        if (given.service.empty() || given.service == service->name()) {
            services.push_back(service->status());
        }
    }
    return outcome::done({{"services", std::move(services)}});
}

}  // namespace pgsluice::control
