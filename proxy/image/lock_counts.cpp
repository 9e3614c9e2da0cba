// Advisory locks: taken with the try functions, counted by unlocking.

#include "proxy/image/lock_counts.hpp"

#include "proxy/image/script_frame.hpp"

#include <array>
#include <charconv>

namespace pgsluice::proxy {

namespace {

/// The key as the parameters of the lock functions.
struct lock_key {
    std::array<std::string_view, 3> parts{};  ///< room for one parameter more
    std::size_t size = 1;

    explicit lock_key(const advisory_lock& lock) {
        const std::string_view key = lock.key;
        const auto comma = key.find(',');
        parts[0] = key.substr(0, comma);
        if (lock.is_pair && comma != key.npos) {
            parts[1] = key.substr(comma + 1);
            size = 2;
        }
    }
    void add(std::string_view parameter) { parts[size++] = parameter; }
    std::span<const std::string_view> parameters() const { return {parts.data(), size}; }
};

std::string label_of(const advisory_lock& lock) {
    return "advisory lock (" + lock.key + (lock.is_shared ? ", shared)" : ")");
}

std::string call(std::string_view function, const advisory_lock& lock) {
    std::string text = "pg_catalog.";
    text += function;
    text += lock.is_shared ? "_shared" : "";
    text += lock.is_pair ? "($1::pg_catalog.int4, $2::pg_catalog.int4)" : "($1::pg_catalog.int8)";
    return text;
}

/// What pg_lock_status() shows for the key: see "pg_locks".
std::string is_held(const advisory_lock& lock) {
    std::string text = "EXISTS (SELECT FROM pg_catalog.pg_lock_status() AS l"
                       " WHERE l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()"
                       " AND l.locktype OPERATOR(pg_catalog.=) 'advisory'"
                       " AND l.objsubid OPERATOR(pg_catalog.=) ";
    text += lock.is_pair ? "2::pg_catalog.int2"
                           " AND l.classid::pg_catalog.int4 OPERATOR(pg_catalog.=) $1"
                           " AND l.objid::pg_catalog.int4 OPERATOR(pg_catalog.=) $2"
                         : "1::pg_catalog.int2"
                           " AND ((l.classid::pg_catalog.int8 OPERATOR(pg_catalog.<<) 32)"
                           " OPERATOR(pg_catalog.|) l.objid::pg_catalog.int8)"
                           " OPERATOR(pg_catalog.=) $1";
    text += " AND l.mode OPERATOR(pg_catalog.=) ";
    text += lock.is_shared ? "'ShareLock')" : "'ExclusiveLock')";
    return text;
}

/// Unlocks while there is something to unlock: an unlock too many would be a WARNING in the log.
std::string count_text(const advisory_lock& lock) {
    return "WITH RECURSIVE c(n, more) AS (SELECT 0::pg_catalog.int8, true UNION ALL"
           " SELECT c.n OPERATOR(pg_catalog.+) 1::pg_catalog.int8, CASE WHEN " +
           is_held(lock) + " THEN " + call("pg_advisory_unlock", lock) +
           " ELSE false END FROM c WHERE c.more)"
           " SELECT pg_catalog.max(c.n) FROM c WHERE c.more";
}

std::string take_text(const advisory_lock& lock) {
    const std::string count = lock.is_pair ? "$3" : "$2";
    return "SELECT pg_catalog.bool_and(" + call("pg_try_advisory_lock", lock) +
           ") FROM pg_catalog.generate_series(1, " + count + "::pg_catalog.int4)";
}

// Only ASCII is sent, and no setting of these versions is needed.
constexpr frame_options plain_frame{"SQL_ASCII", 0};

}  // namespace

void add_locks(script_frame& frame, std::span<const advisory_lock> locks) {
    for (const auto& lock : locks) {
        auto step = step_for(script_item::advisory_lock, label_of(lock));
        step.needs_true = true;
        frame.run(
            step, "SELECT " + call("pg_try_advisory_lock", lock), lock_key(lock).parameters()
        );
    }
}

script count_locks_request(std::span<const advisory_lock> locks) {
    script_frame frame(plain_frame);
    for (const auto& lock : locks)
        frame.run(
            step_for(script_item::question, label_of(lock)),
            count_text(lock),
            lock_key(lock).parameters()
        );
    return frame.finish();
}

result<std::vector<std::uint32_t>>
counted_locks(std::span<const advisory_lock> locks, const script_outcome& outcome) {
    if (const auto* error = outcome.first_error())
        return error->what;
    std::vector<std::uint32_t> counts;
    for (const auto& row : outcome.rows) {
        std::uint32_t count = 0;
        const auto text = row.columns.empty() ? std::nullopt : row.columns[0];
        if (text)
            std::from_chars(text->data(), text->data() + text->size(), count);
        counts.push_back(count);
    }
    for (std::size_t i = 0; i < locks.size(); ++i) {
        if (i >= counts.size() || counts[i] == 0)
            return failure{"55000", label_of(locks[i]) + " is not held any more", {}, {}};
    }
    return counts;
}

script
take_locks_request(std::span<const advisory_lock> locks, std::span<const std::uint32_t> holds) {
    PGSLUICE_ASSERT(locks.size() == holds.size());
    script_frame frame(plain_frame);
    for (std::size_t i = 0; i < locks.size(); ++i) {
        if (holds[i] == 0)
            continue;
        auto step = step_for(script_item::advisory_lock, label_of(locks[i]));
        step.needs_true = true;
        lock_key key(locks[i]);
        const std::string count = std::to_string(holds[i]);
        key.add(count);
        frame.run(step, take_text(locks[i]), key.parameters());
    }
    return frame.finish();
}

}  // namespace pgsluice::proxy
