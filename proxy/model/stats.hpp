#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string_view>

namespace pgsluice::proxy {

/// Totals of a service since start, summed over workers when asked for.
struct service_stats {
    std::uint64_t clients_accepted = 0;
    std::uint64_t clients_refused = 0;
    std::uint64_t logins_failed = 0;
    std::uint64_t connects_failed = 0;  ///< to servers that could not be reached
    std::uint64_t sessions_moved = 0;
    std::uint64_t sessions_lost = 0;
    std::uint64_t cancels_forwarded = 0;
    std::uint64_t clients_logged_in = 0;
};

/// What went through pgsluice, of one session or of many. Only the worker that relays it writes.
struct traffic {
    std::uint64_t transactions = 0;    ///< answers with ReadyForQuery outside of a block
    std::uint64_t queries = 0;         ///< answers with ReadyForQuery
    std::uint64_t received_bytes = 0;  ///< from clients
    std::uint64_t sent_bytes = 0;      ///< to clients
    /// In transactions, by a clock that ticks every few milliseconds: right in the mean of many.
    std::chrono::steady_clock::duration working{0};

    void add(const traffic& other) noexcept {
        transactions += other.transactions;
        queries += other.queries;
        received_bytes += other.received_bytes;
        sent_bytes += other.sent_bytes;
        working += other.working;
    }

    friend bool operator==(const traffic&, const traffic&) = default;
};

/// Of a service since its start, sessions that have ended included.
struct service_traffic {
    traffic sum;
    std::uint64_t waits = 0;  ///< of clients that had sent something and were held
    std::chrono::microseconds waited{0};

    void add(const service_traffic& other) noexcept {
        sum.add(other.sum);
        waits += other.waits;
        waited += other.waited;
    }

    friend bool operator==(const service_traffic&, const service_traffic&) = default;
};

/// How long clients that had sent something waited until their session went on: one count a wait,
/// in classes. What the clients' own servers took is not in it.
struct stall_histogram {
    /// Upper bounds of the classes, in milliseconds, each exclusive; one more class is open.
    static constexpr std::array<std::uint32_t, 12> bounds_ms{
        1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 30'000};

    std::array<std::uint64_t, bounds_ms.size() + 1> counts{};
    std::chrono::microseconds longest{0};

    void add(std::chrono::steady_clock::duration waited) noexcept {
        const auto exact = std::chrono::duration_cast<std::chrono::microseconds>(waited);
        std::size_t at = 0;
        while (at < bounds_ms.size() && exact >= std::chrono::milliseconds(bounds_ms[at])) {
            ++at;
        }
        ++counts[at];
        longest = exact > longest ? exact : longest;
    }

    void add(const stall_histogram& other) noexcept {
        for (std::size_t i = 0; i < counts.size(); ++i) {
            counts[i] += other.counts[i];
        }
        longest = other.longest > longest ? other.longest : longest;
    }

    friend bool operator==(const stall_histogram&, const stall_histogram&) = default;
};

/// How long answers took, in classes of which each is at most a sixteenth wide: 1 us to 71 minutes,
/// what is longer in the last one.
class latency_histogram {
public:
    void add(std::chrono::steady_clock::duration took) noexcept {
        const auto us = std::chrono::duration_cast<std::chrono::microseconds>(took).count();
        const auto longest = std::int64_t{0xFFFF'FFFF};
        ++counts_[class_of(static_cast<std::uint32_t>(std::clamp<std::int64_t>(us, 0, longest)))];
    }
    void add(const latency_histogram& other) noexcept {
        for (std::size_t i = 0; i < counts_.size(); ++i) {
            counts_[i] += other.counts_[i];
        }
    }
    /// What came since `earlier`, an older copy of this.
    latency_histogram since(const latency_histogram& earlier) const noexcept {
        latency_histogram rest = *this;
        for (std::size_t i = 0; i < counts_.size(); ++i) {
            rest.counts_[i] -= earlier.counts_[i];
        }
        return rest;
    }

    std::uint64_t total() const noexcept {
        std::uint64_t sum = 0;
        for (const std::uint32_t count : counts_) {
            sum += count;
        }
        return sum;
    }
    /// What `percent` of the answers did not exceed: the upper bound of the class; 0 where there
    /// was none.
    std::chrono::microseconds quantile(double percent) const noexcept {
        const double wanted = percent / 100 * static_cast<double>(total());
        double seen = 0;
        for (std::size_t i = 0; i < counts_.size(); ++i) {
            seen += counts_[i];
            if (counts_[i] != 0 && seen >= wanted) {
                return upper_bound_of(i);
            }
        }
        return {};
    }

private:
    static constexpr std::uint32_t parts_bits = 4;
    static constexpr std::uint32_t parts = 1U << parts_bits;

    static std::size_t class_of(std::uint32_t us) noexcept {
        if (us < parts) {
            return us;
        }
        const auto octave = static_cast<std::uint32_t>(std::bit_width(us)) - 1;
        return (octave - parts_bits + 1) * parts + (us >> (octave - parts_bits)) % parts;
    }
    static std::chrono::microseconds upper_bound_of(std::size_t at) noexcept {
        if (at < parts) {
            return std::chrono::microseconds(at + 1);
        }
        return std::chrono::microseconds((parts + at % parts + 1) << (at / parts - 1));
    }

    std::array<std::uint32_t, (32 - parts_bits + 1) * parts> counts_{};
};

/// What clients got, counted only while somebody asks for it: engine::read_load().
struct load_readings {
    std::uint64_t answers = 0;  ///< to requests; and logins that a server refused
    std::map<std::array<char, 2>, std::uint64_t> errors{};  ///< by class of SQLSTATE
    latency_histogram latency{};                            ///< from request to ReadyForQuery

    /// `sqlstate` as it came from a server; what is none is counted as "??".
    void add_error(std::string_view sqlstate) {
        const auto is_valid = [](char c) {
            return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z');
        };
        const bool is_class =
            sqlstate.size() >= 2 && is_valid(sqlstate[0]) && is_valid(sqlstate[1]);
        ++errors[is_class ? std::array{sqlstate[0], sqlstate[1]} : std::array{'?', '?'}];
    }
    void add(const load_readings& other) {
        answers += other.answers;
        for (const auto& [sqlstate, count] : other.errors) {
            errors[sqlstate] += count;
        }
        latency.add(other.latency);
    }
    /// What came since `earlier`, an older copy of this.
    load_readings since(const load_readings& earlier) const {
        load_readings rest{answers - earlier.answers, errors, latency.since(earlier.latency)};
        for (const auto& [sqlstate, count] : earlier.errors) {
            rest.errors[sqlstate] -= count;
        }
        return rest;
    }
};

/// Which backend what is counted has to do with.
enum class load_side : std::uint8_t {
    route,
    canary,       ///< the canary's
    turned_back,  ///< of the canary's clients: could not get there, and have the route for now
};

/// Of one service.
struct service_load {
    load_readings route{};
    load_readings canary{};
    load_readings turned_back{};  ///< nothing but errors

    load_readings& of(load_side side) noexcept {
        return side == load_side::route ? route : side == load_side::canary ? canary : turned_back;
    }
    void add(const service_load& other) {
        route.add(other.route);
        canary.add(other.canary);
        turned_back.add(other.turned_back);
    }
};

}  // namespace pgsluice::proxy
