// Compares the catalogs of two databases, one kind of object after the other. What is asked stands
// in parity_tables.cpp and parity_others.cpp.
#include "control/preflight/parity.hpp"

#include <fmt/format.h>

#include <future>
#include <map>

namespace pgsluice::control {

namespace {

/// A relation that a query does not mention is not evaluated.
constexpr std::string_view user_objects = R"(
WITH member AS NOT MATERIALIZED (
    SELECT classid, objid FROM pg_depend WHERE deptype = 'e'),
schema AS NOT MATERIALIZED (
    SELECT * FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'),
rel AS NOT MATERIALIZED (
    SELECT c.*, format('%I.%I', n.nspname, c.relname) AS full_name
    FROM pg_class c JOIN schema n ON n.oid = c.relnamespace WHERE c.relpersistence <> 't'
    AND NOT EXISTS (SELECT FROM member WHERE classid = 'pg_class'::regclass AND objid = c.oid)),
fn AS NOT MATERIALIZED (
    SELECT p.*, format('%I.%I(%s)', n.nspname, p.proname,
                       pg_get_function_identity_arguments(p.oid)) AS full_name
    FROM pg_proc p JOIN schema n ON n.oid = p.pronamespace
    WHERE NOT EXISTS (SELECT FROM member WHERE classid = 'pg_proc'::regclass AND objid = p.oid)),
ty AS NOT MATERIALIZED (
    SELECT t.*, format('%I.%I', n.nspname, t.typname) AS full_name
    FROM pg_type t JOIN schema n ON n.oid = t.typnamespace
    LEFT JOIN pg_class c ON c.oid = t.typrelid
    WHERE (t.typtype IN ('e', 'd', 'r') OR c.relkind = 'c')
    AND NOT EXISTS (SELECT FROM member WHERE classid = 'pg_type'::regclass AND objid = t.oid)))";

struct object {
    std::string definition;
    std::string create;
    std::string change;
    bool is_initial;
};
using objects = std::map<std::string, object, std::less<>>;

objects read_objects(const pg_rows& rows) {
    constexpr std::size_t initial_column = 4;
    const bool tells_initial = rows.columns() > initial_column;
    objects found;
    for (std::size_t row = 0; row < rows.size(); ++row) {
        found.emplace(
            rows.text(row, 0),
            object{
                std::string(rows.text(row, 1)),
                std::string(rows.text(row, 2)),
                std::string(rows.text(row, 3)),
                tells_initial && rows.truth(row, initial_column)}
        );
    }
    return found;
}

/// Enough of a definition to tell two apart: from shortly before the first difference.
std::string excerpt(std::string_view one, std::string_view other) {
    constexpr std::size_t before = 20;
    constexpr std::size_t shown_max = 80;
    const auto differs = std::mismatch(one.begin(), one.end(), other.begin(), other.end()).first;
    const auto at = static_cast<std::size_t>(differs - one.begin());
    const std::size_t start = one.size() > shown_max && at > before ? at - before : 0;
    std::string text(start > 0 ? "..." : "");
    text += one.substr(start, shown_max);
    for (char& c : text) {
        c = c == '\n' ? ' ' : c;
    }
    return one.size() - start > shown_max ? text + "..." : text;
}

std::string mend(const checked_pair& pair, const std::string& statement) {
    if (statement.empty()) {
        return fmt::format("take it from pg_dumpall --schema-only of {}", pair.from.name);
    }
    return fmt::format("on {}: {}", pair.to.name, statement);
}

bool is_of_other_version(const checked_pair& pair) {
    return pair.from.version / 10000 != pair.to.version / 10000;
}

void tell_difference(
    const checked_pair& pair,
    const catalog& kind,
    const std::string& name,
    const object& wanted,
    const object& present,
    verdicts& found
) {
    const bool other_words = kind.is_deparsed && is_of_other_version(pair);
    std::string text = fmt::format(
        "{} {} is `{}` on {}, `{}` on {}",
        kind.noun,
        name,
        excerpt(wanted.definition, present.definition),
        pair.from.name,
        excerpt(present.definition, wanted.definition),
        pair.to.name
    );
    if (other_words || kind.is_difference_noted) {
        text += other_words ? " (versions may say the same in other words)" : "";
        found.note(std::move(text), mend(pair, wanted.change));
    } else {
        found.bad(std::move(text), mend(pair, wanted.change));
    }
}

void tell_missing(
    const checked_pair& pair,
    const catalog& kind,
    const std::string& name,
    const object& wanted,
    verdicts& found
) {
    std::string text = fmt::format("{} {} is missing on {}", kind.noun, name, pair.to.name);
    if (wanted.is_initial && is_of_other_version(pair)) {
        text += ", whose version does not come with it";
        found.note(std::move(text), mend(pair, wanted.create));
    } else {
        found.bad(std::move(text), mend(pair, wanted.create));
    }
}

bool is_to_be_lifted(const checked_pair& pair, const catalog& kind, const std::string& name) {
    const auto& fence = pair.expected.to_fence;
    return fence && fence->method == fence_method::revoke_connect && !kind.fenced.empty() &&
           name.starts_with(kind.fenced);
}

}  // namespace

both_answers ask_both(
    const checked_pair& pair,
    const std::string& sql,
    pg_client::parameters values,
    const limits& until
) {
    auto from =
        std::async(std::launch::async, [&] { return pair.from_client.query(sql, values, until); });
    auto to = pair.to_client.query(sql, values, until);
    return {from.get(), std::move(to)};
}

step_result<void> compare_catalogs(
    const checked_pair& pair, const catalog& kind, verdicts& found, const limits& until
) {
    const std::string sql = fmt::format("{}\n{}", user_objects, kind.sql);
    auto [from, to] = ask_both(pair, sql, {}, until);
    if (!from || !to) {
        return from ? to.error() : from.error();
    }
    const objects wanted = read_objects(*from);
    const objects present = read_objects(*to);
    for (const auto& [name, one] : wanted) {
        const auto there = present.find(name);
        if (there == present.end()) {
            if (!is_to_be_lifted(pair, kind, name)) {
                tell_missing(pair, kind, name, one, found);
            }
        } else if (there->second.definition != one.definition) {
            tell_difference(pair, kind, name, one, there->second, found);
        }
    }
    for (const auto& [name, one] : present) {
        if (kind.extra == extra_objects::ignored || wanted.contains(name)) {
            continue;
        }
        std::string text = fmt::format("{} {} is on {} only", kind.noun, name, pair.to.name);
        std::string hint = fmt::format("drop it on {}, unless it is wanted there", pair.to.name);
        if (kind.extra == extra_objects::bad) {
            found.bad(std::move(text), std::move(hint));
        } else {
            found.note(std::move(text), std::move(hint));
        }
    }
    if (found.findings() == 0) {
        found.good(fmt::format("{} on both, all alike", wanted.size()));
    }
    return {};
}

}  // namespace pgsluice::control
