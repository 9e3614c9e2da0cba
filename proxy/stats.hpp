#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

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

}  // namespace pgsluice::proxy
