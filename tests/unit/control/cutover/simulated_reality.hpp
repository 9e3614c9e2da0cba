#pragma once

#include "control/base/deadline.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace pgsluice::control::simulation {

using std::chrono::milliseconds;
using time_point = limits::clock::time_point;

/// Everything that is drawn comes from one seed, the same on every machine (splitmix64).
class dice {
public:
    explicit dice(std::uint64_t seed) : state_(seed) {}

    std::uint64_t below(std::uint64_t bound) {
        std::uint64_t z = (state_ += 0x9E3779B97F4A7C15U);
        z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
        z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
        return (z ^ (z >> 31U)) % bound;
    }
    bool one_in(std::uint64_t n) { return below(n) == 0; }
    milliseconds up_to(milliseconds most) {
        return milliseconds{below(static_cast<std::uint64_t>(most.count()) + 1)};
    }

private:
    std::uint64_t state_;
};

struct row {
    int key = 0;
    std::int64_t id = 0;  ///< from the sequence of the server where it was written
};

/// What a cutover sees of a PostgreSQL server, and what outlives every process of the proxy.
struct server {
    std::string name{};
    std::vector<row> rows{};  ///< in the order of their commits
    std::set<std::int64_t> ids{};
    std::int64_t next_id = 1;
    std::optional<std::string> auto_conf{};  ///< default_transaction_read_only, by ALTER SYSTEM
    bool is_standby = false;
    bool was_promoted = false;  ///< without having become the route: to be rebuilt
    time_point down_until{};

    bool is_read_only() const { return auto_conf == "on"; }
};

/// Rows go from one server to the other, in order, while it is enabled.
struct link {
    std::size_t from = 0;
    std::size_t to = 1;
    bool exists = false;
    bool is_enabled = false;
    std::size_t at = 0;  ///< rows of `from` that have come over, or were left out
    time_point broken_until{};
};

/// A client of the proxy, or one that bypasses it.
struct client {
    std::size_t server = 0;
    bool is_parked = false;
    bool is_working = false;  ///< in a transaction
    bool was_busy_at_hold = false;
    bool is_pinned = false;
    bool sees_read_only = false;  ///< what its transaction found when it began
    bool may_see_it = false;      ///< and that was allowed then
    time_point since{};
    time_point next{};
};

/// Two servers, replication, clients that write all the time, and a clock that moves only here.
/// Clients belong to the proxy's process: `restart_clients()` when that is a new one.
class reality {
public:
    static constexpr std::size_t client_count = 4;
    static constexpr time_point never = time_point::max();

    explicit reality(std::uint64_t seed) : random(seed) {
        servers[0].name = "blue";
        servers[1].name = "green";
        limits::clock::simulated = &now;
    }
    reality(const reality&) = delete;
    reality& operator=(const reality&) = delete;
    ~reality() { limits::clock::simulated = nullptr; }

    dice random;
    time_point now = time_point{} + std::chrono::hours{1};
    std::array<server, 2> servers{};
    link replication{};
    std::optional<link> way_back{};  ///< prepared: slot and disabled subscription
    bool is_physical = false;
    bool is_one_server = false;  ///< both backends are names of servers[0]

    std::size_t truth = 0;  ///< the route that a start would read from the disk
    bool is_gate_open = true;
    bool holds_long = false;
    std::vector<client> clients = std::vector<client>(client_count);
    std::optional<client> outsider{};  ///< connected past the proxy
    bool may_see_read_only = false;    ///< the old server could not be reached in time: 25006 it is

    std::set<int> acknowledged{};
    int next_key = 0;
    time_point closed_at{};
    milliseconds longest_pause{0};
    std::vector<std::string> problems{};
    std::vector<std::string> trace{};  ///< for whoever has to understand a seed

    server& at(std::size_t backend) { return servers[is_one_server ? 0 : backend]; }

    void problem(const std::string& what) {
        if (problems.size() < 10) {
            problems.push_back(what);
        }
        note("PROBLEM " + what);
    }
    void note(const std::string& what) {
        const auto ms = std::chrono::duration_cast<milliseconds>(now.time_since_epoch());
        trace.push_back(std::to_string(ms.count() - 3'600'000) + " " + what);
    }

    void set_gate(bool open) {
        if (open && !is_gate_open) {
            const auto closed = std::chrono::duration_cast<milliseconds>(now - closed_at);
            longest_pause = std::max(longest_pause, closed);
        }
        if (!open && is_gate_open) {
            closed_at = now;
        }
        is_gate_open = open;
        holds_long = false;
        for (client& each : clients) {
            each.was_busy_at_hold = false;
            if (open && each.is_parked) {
                each.is_parked = false;
                each.next = now + random.up_to(milliseconds{5});
            }
        }
    }

    /// A new process of the proxy: everybody connects anew.
    void restart_clients(std::size_t backend, bool open) {
        is_gate_open = true;
        set_gate(open);
        for (client& each : clients) {
            each = {.server = backend, .is_parked = !open, .next = now};
        }
    }

    /// Time goes on, and everything in it.
    void advance_to(time_point end) {
        const auto slack = (end - now) / 20;  // long waits are not filled with thousands of rows
        while (now < end) {
            client* first = nullptr;
            for (client& each : clients) {
                first = !each.is_parked && (first == nullptr || each.next < first->next) ? &each
                                                                                         : first;
            }
            if (outsider && (first == nullptr || outsider->next < first->next)) {
                first = &*outsider;
            }
            if (first == nullptr || first->next >= end) {
                now = end;
                break;
            }
            now = std::max(now, first->next);
            replicate(random.below(3));
            step(*first, slack);
        }
        replicate(random.below(4));
    }

    /// Rows that come over now, at most.
    void replicate(std::size_t most) {
        server& from = servers[replication.from];
        server& to = servers[replication.to];
        const bool is_up = now >= from.down_until && now >= to.down_until;
        if (!replication.is_enabled || !is_up || now < replication.broken_until) {
            return;
        }
        for (; most > 0 && replication.at < from.rows.size(); --most, ++replication.at) {
            insert(to, from.rows[replication.at]);
        }
        if (is_physical) {
            to.next_id = std::max(to.next_id, from.next_id);
        }
    }

    /// For all tests of the state itself: what has come over and what would.
    bool is_caught_up() const { return replication.at == servers[replication.from].rows.size(); }

private:
    void insert(server& into, const row& added) {
        if (!into.ids.insert(added.id).second) {
            problem("row " + std::to_string(added.id) + " twice on " + into.name);
        }
        into.rows.push_back(added);
    }

    bool has_to_park(const client& one) const {
        return &one != (outsider ? &*outsider : nullptr) &&
               (!is_gate_open || (holds_long && one.was_busy_at_hold));
    }

    void step(client& one, limits::clock::duration slack) {
        const bool was_working = one.is_working;
        one.since = now;
        if (was_working) {
            commit(one);
            one.is_working = false;
            one.is_pinned = one.is_pinned && !random.one_in(30);
        }
        one.is_parked = has_to_park(one);
        if (one.is_parked) {
            return;
        }
        if (was_working) {
            one.next = now + random.up_to(milliseconds{20}) + slack + milliseconds{1};
            return;
        }
        one.is_working = true;
        one.sees_read_only = at(one.server).is_read_only();
        one.may_see_it = may_see_read_only;
        one.next = now + slack + random.up_to(milliseconds{random.one_in(40) ? 1'500 : 5});
    }

    void commit(client& one) {
        const bool is_outside = outsider && &one == &*outsider;
        server& on = at(one.server);
        if (now < on.down_until) {
            return;  // the connection is gone, the client knows nothing
        }
        if (one.sees_read_only) {
            if (!is_outside && !one.may_see_it) {
                problem("a client was told that " + on.name + " is read-only");
            }
            return;
        }
        if (one.server != truth) {
            problem("a write on " + on.name + ", which is not the truth");
        }
        if (on.is_standby) {
            problem("a client of the standby " + on.name + " wants to write");
            return;
        }
        const row added{next_key++, on.next_id++};
        if (!on.ids.insert(added.id).second) {
            problem("duplicate key on " + on.name + ": a sequence is behind");
            return;
        }
        on.rows.push_back(added);
        acknowledged.insert(added.key);
    }
};

}  // namespace pgsluice::control::simulation
