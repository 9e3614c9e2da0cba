// Whether the rows are the same on both servers, while clients go on writing. A table is summed up
// in buckets of its key's hash, independent of the order of rows. A bucket that differs counts only
// when it stood still on the old server: read there, then on the new one after that has applied
// everything up to the first reading, then on the old one again; and only when it does so twice.
#include "control/base/polling.hpp"
#include "control/base/words.hpp"
#include "control/preflight/parity.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <map>

namespace pgsluice::control {

namespace {

using std::chrono::milliseconds;

/// How long all tables may take together; what is left then is not compared.
constexpr milliseconds budget{4'000};
constexpr std::int64_t table_bytes_max = 32 << 20;
constexpr milliseconds applied_within{2'000};
constexpr int attempts_max = 4;

/// Tables that the subscription is to fill, with their columns and what identifies a row.
constexpr const char* tables_query = R"(
SELECT c.oid::regclass::text, string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum),
       coalesce((SELECT string_agg(quote_ident(k.attname), ', ' ORDER BY k.attnum) FROM pg_index i
                 JOIN pg_attribute k ON k.attrelid = c.oid AND k.attnum = ANY (i.indkey)
                 WHERE i.indrelid = c.oid AND i.indisprimary), ''),
       pg_table_size(c.oid)
FROM (SELECT DISTINCT schemaname, tablename FROM pg_publication_tables
      WHERE pubname = ANY (SELECT unnest($1::text[]))) AS t
JOIN pg_namespace n ON n.nspname = t.schemaname
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename AND c.relkind = 'r'
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
GROUP BY c.oid ORDER BY pg_table_size(c.oid))";

struct table {
    std::string name, columns, key;
    std::int64_t bytes = 0;
};

struct bucket {
    std::int64_t rows = 0;
    std::string sum;
    friend bool operator==(const bucket&, const bucket&) = default;
};
using buckets = std::map<std::int64_t, bucket>;

/// The rows of a table as (k: what identifies it, r: all of it), both text, and their bucket b.
std::string rows_of(const table& one) {
    return fmt::format(
        "(SELECT k, r, hashtext(k COLLATE \"C\") & 63 AS b FROM (SELECT ROW({})::text AS k, "
        "ROW({})::text AS r FROM ONLY {}) AS q) AS rows",
        one.key.empty() ? one.columns : one.key,
        one.columns,
        one.name
    );
}

std::string sums_of(const table& one) {
    return "SELECT b, count(*), sum(hashtextextended(r COLLATE \"C\", 0)::numeric) FROM " +
           rows_of(one) + " GROUP BY b";
}

buckets read_buckets(const pg_rows& rows) {
    buckets found;
    for (std::size_t row = 0; row < rows.size(); ++row) {
        found[rows.number(row, 0)] = {rows.number(row, 1), std::string(rows.text(row, 2))};
    }
    return found;
}

step_result<buckets> sum_up(pg_client& server, const table& one, const limits& until) {
    auto rows = server.query(sums_of(one), until);
    return rows ? step_result<buckets>(read_buckets(*rows)) : rows.error();
}

bool is_same(const buckets& one, const buckets& other, std::int64_t number) {
    const auto a = one.find(number);
    const auto b = other.find(number);
    return a == one.end() ? b == other.end() : b != other.end() && a->second == b->second;
}

/// Whether the new server has applied, soon, everything that the old one has committed by now.
step_result<bool> has_applied(const checked_pair& pair, const limits& until) {
    auto mark = pair.from_client.query(
        "SELECT pg_logical_emit_message(true, 'pgsluice', 'preflight')::text", until
    );
    if (!mark) {
        return mark.error();
    }
    const std::vector<std::string> values{std::string(mark->text(0, 0)), pair.subscription};
    const auto give_up = std::min(limits::clock::now() + applied_within, until.deadline);
    bool is_there = false;
    while (!is_there && limits::clock::now() < give_up && !until.stopped()) {
        auto asked = pair.to_client.query(
            "SELECT EXISTS (SELECT FROM pg_stat_subscription WHERE subname = $2 AND relid IS NULL "
            "AND received_lsn >= $1::pg_lsn), pg_sleep(0.01)",
            values,
            until
        );
        if (!asked) {
            return asked.error();
        }
        is_there = asked->truth(0, 0);
    }
    return is_there;
}

struct judgement {
    std::vector<std::int64_t> differing;  ///< buckets
    bool is_undecided = false;            ///< it did not stand still
};

/// One look at both sides.
step_result<judgement> look(const checked_pair& pair, const table& one, const limits& until) {
    judgement found;
    auto before = sum_up(pair.from_client, one, until);
    auto applied = before ? has_applied(pair, until) : before.error();
    auto there = applied ? sum_up(pair.to_client, one, until) : applied.error();
    auto after = there ? sum_up(pair.from_client, one, until) : there;
    if (!after) {
        return after.error();
    }
    found.is_undecided = !*applied;
    for (std::int64_t number = 0; *applied && number < 64; ++number) {
        if (is_same(*before, *there, number)) {
            continue;
        }
        const bool stood_still = is_same(*before, *after, number);
        found.is_undecided |= !stood_still;
        if (stood_still) {
            found.differing.push_back(number);
        }
    }
    return found;
}

/// A commit can be seen on the new server a moment before it can on the old one, which flushes it,
/// sends it and only then ends the transaction. So a bucket differs if it does so twice.
step_result<judgement> judge(const checked_pair& pair, const table& one, const limits& until) {
    std::vector<std::int64_t> suspects;
    for (int attempt = 0; attempt < attempts_max; ++attempt) {
        auto found = look(pair, one, until);
        if (!found || (found->differing.empty() && !found->is_undecided)) {
            return found;
        }
        std::vector<std::int64_t> twice;
        std::set_intersection(
            suspects.begin(),
            suspects.end(),
            found->differing.begin(),
            found->differing.end(),
            std::back_inserter(twice)
        );
        if (!twice.empty()) {
            return judgement{.differing = std::move(twice), .is_undecided = false};
        }
        suspects = std::move(found->differing);
        if (auto slept = pair.from_client.query("SELECT pg_sleep(0.1)", until); !slept) {
            return slept.error();
        }
    }
    return judgement{.differing = {}, .is_undecided = true};
}

/// Which rows of these buckets differ, by key, as of now.
step_result<std::string> differing_rows(
    const checked_pair& pair,
    const table& one,
    const std::vector<std::int64_t>& numbers,
    const limits& until
) {
    const std::string sql = fmt::format(
        "SELECT k, hashtextextended(r COLLATE \"C\", 0)::text FROM {} WHERE b IN ({}) "
        "ORDER BY k LIMIT 50000",
        rows_of(one),
        fmt::join(numbers, ", ")
    );
    auto [from, to] = ask_both(pair, sql, {}, until);
    if (!from || !to) {
        return from ? to.error() : from.error();
    }
    std::map<std::string, std::string, std::less<>> left;
    for (std::size_t row = 0; row < to->size(); ++row) {
        left.emplace(to->text(row, 0), to->text(row, 1));
    }
    std::vector<std::string> keys;
    for (std::size_t row = 0; row < from->size(); ++row) {
        const auto there = left.find(from->text(row, 0));
        if (there == left.end() || there->second != from->text(row, 1)) {
            keys.emplace_back(from->text(row, 0));
        }
        if (there != left.end()) {
            left.erase(there);
        }
    }
    std::string text = keys.empty() ? "" : " of keys " + first_few(keys);
    if (!left.empty()) {
        text += fmt::format(", {} on {} only", counted(left.size(), "row"), pair.to.name);
    }
    return text;
}

step_result<void>
tell(const checked_pair& pair, const table& one, verdicts& found, const limits& until) {
    const auto judged = judge(pair, one, until);
    if (!judged) {
        return judged.error();
    }
    if (judged->differing.empty()) {
        if (judged->is_undecided) {
            found.note(
                one.name + " changes too fast to be compared", "compare it when less is written"
            );
        }
        return {};
    }
    const auto which = differing_rows(pair, one, judged->differing, until);
    if (!which) {
        return which.error();
    }
    found.bad(
        fmt::format("{} has other rows on {}{}", one.name, pair.to.name, *which),
        fmt::format(
            "copy these rows from {}, or set subscription {} up anew",
            pair.from.name,
            pair.subscription
        )
    );
    return {};
}

std::vector<table> read_tables(const pg_rows& rows) {
    std::vector<table> tables;
    for (std::size_t row = 0; row < rows.size(); ++row) {
        tables.push_back(
            {std::string(rows.text(row, 0)),
             std::string(rows.text(row, 1)),
             std::string(rows.text(row, 2)),
             rows.number(row, 3)}
        );
    }
    return tables;
}

}  // namespace

step_result<void> check_data(const checked_pair& pair, verdicts& found, const limits& until) {
    const auto publications = subscribed_publications(pair, until);
    if (!publications) {
        return publications.error();
    }
    const std::vector<std::string> values{*publications};
    const auto rows = pair.from_client.query(tables_query, values, until);
    if (!rows) {
        return rows.error();
    }
    const auto end = limits::clock::now() + budget;
    std::size_t compared = 0;
    std::vector<std::string> left_out;
    for (const table& one : read_tables(*rows)) {
        if (one.bytes > table_bytes_max || limits::clock::now() > end) {
            left_out.push_back(one.name);
            continue;
        }
        const auto [from, to] = ask_both(pair, sums_of(one), {}, until);
        if (!from || !to) {
            left_out.push_back(one.name);  // a table or column is missing: other checks say so
            continue;
        }
        ++compared;
        if (read_buckets(*from) == read_buckets(*to)) {
            continue;
        }
        if (auto done = tell(pair, one, found, until); !done) {
            return done;
        }
    }
    if (found.findings() == 0) {
        found.good(
            counted(compared, "table") + " compared row by row" +
            (left_out.empty() ? "" : ", not: " + first_few(left_out))
        );
    }
    return {};
}

}  // namespace pgsluice::control
