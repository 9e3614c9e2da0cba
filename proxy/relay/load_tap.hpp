#pragma once

#include "protocol/wire/frame.hpp"
#include "proxy/model/stats.hpp"
#include "proxy/net/reactor.hpp"

#include <optional>
#include <string_view>

namespace pgsluice::proxy {

/// Reads one session's load into the sum of its worker, as long as somebody asks for it; a pump
/// without one does not even look at the clock.
class load_tap {
public:
    /// `sum` outlives it.
    explicit load_tap(load_readings& sum) noexcept : sum_(sum) {}

    bool reads_into(const load_readings& sum) const noexcept { return &sum == &sum_; }

    /// A message of the client's goes on to the server.
    void on_request() noexcept {
        if (!began_) {
            began_ = std::chrono::steady_clock::now();
        }
    }
    /// ReadyForQuery; with `more`, the server already has the next request. Requests that began
    /// before this did are not counted.
    void on_ready(bool more) noexcept {
        if (!began_) {
            return;
        }
        const steady_time now = std::chrono::steady_clock::now();
        ++sum_.answers;
        sum_.latency.add(now - *began_);
        began_ = more ? std::optional(now) : std::nullopt;
    }
    /// The body of an ErrorResponse, or as much of it as came with its header.
    void on_error(protocol::frame_cursor::byte_view body) { sum_.add_error(sqlstate_in(body)); }

    /// The field C ("Error and Notice Message Fields", chapter "Frontend/Backend Protocol"); empty
    /// where it is not in there.
    static std::string_view sqlstate_in(protocol::frame_cursor::byte_view body) noexcept {
        std::string_view rest(reinterpret_cast<const char*>(body.data()), body.size());
        while (!rest.empty() && rest.front() != '\0') {
            const std::size_t end = rest.find('\0');
            if (rest.front() == 'C') {
                return rest.substr(1, end == std::string_view::npos ? end : end - 1);
            }
            rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
        }
        return {};
    }

private:
    load_readings& sum_;
    std::optional<steady_time> began_;
};

}  // namespace pgsluice::proxy
