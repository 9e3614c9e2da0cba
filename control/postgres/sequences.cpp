// One query reads all values, one sets all of them. Only sequences that were never drawn from need
// another look: pg_sequence_last_value() hides the value that ALTER SEQUENCE .. RESTART gave them.
#include "control/postgres/sequences.hpp"

#include <fmt/format.h>

#include <vector>

namespace pgsluice::control {

namespace {

/// User sequences; those of extensions and of temporary schemas stay where they are.
constexpr std::string_view list = R"(
SELECT n.nspname, c.relname, pg_sequence_last_value(c.oid)::text,
       format('%I.%I', n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'S' AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema')
ORDER BY n.nspname, c.relname)";

/// $1 schema, $2 name, $3 value, $4 is_called, $5 how many values to leave out. A sequence of the
/// new server that is already at or past the value keeps its own.
constexpr std::string_view apply = R"(
SELECT count(*), count(CASE WHEN (
           CASE WHEN pg_sequence_last_value(c.oid) IS NULL THEN true
                WHEN NOT v.called THEN false
                WHEN s.seqincrement > 0 THEN v.value > pg_sequence_last_value(c.oid)
                ELSE v.value < pg_sequence_last_value(c.oid) END)
           THEN setval(c.oid, v.value, v.called) END)
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bool[]) AS u(nspname, relname, value, called)
JOIN pg_namespace n ON n.nspname = u.nspname
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = u.relname AND c.relkind = 'S'
JOIN pg_sequence s ON s.seqrelid = c.oid
CROSS JOIN LATERAL (SELECT u.called, CASE WHEN u.called THEN least(greatest(
    u.value + s.seqincrement::numeric * $5::bigint, s.seqmin), s.seqmax)::bigint
    ELSE u.value END) AS v(called, value))";

/// One column of an array parameter.
class array_parameter {
public:
    void add(std::string_view text) {
        out_ += out_.empty() ? "{\"" : ",\"";
        for (const char c : text) {
            if (c == '"' || c == '\\') {
                out_ += '\\';
            }
            out_ += c;
        }
        out_ += '"';
    }
    std::string text() const { return out_.empty() ? "{}" : out_ + "}"; }

private:
    std::string out_;
};

struct sequence_columns {
    array_parameter schema;
    array_parameter name;
    array_parameter value;
    array_parameter called;
    std::size_t count = 0;

    void add(const pg_rows& rows, std::size_t row, std::string_view last, bool is_called) {
        schema.add(rows.text(row, 0));
        name.add(rows.text(row, 1));
        value.add(last);
        called.add(is_called ? "t" : "f");
        ++count;
    }
};

/// The values of sequences that were never drawn from, in the order asked.
step_result<pg_rows>
untouched_values(pg_client& from, const std::vector<std::string>& names, const limits& until) {
    std::string sql;
    for (std::size_t i = 0; i < names.size(); ++i) {
        sql += fmt::format(
            "{}SELECT {} AS i, last_value::text, is_called FROM {}",
            i == 0 ? "" : " UNION ALL ",
            i,
            names[i]
        );
    }
    return from.query(sql + " ORDER BY i", until);
}

step_result<sequence_columns> read_sequences(pg_client& from, const limits& until) {
    auto rows = from.run("sequences", until);
    if (!rows) {
        return rows.error();
    }
    sequence_columns columns;
    std::vector<std::string> untouched;
    std::vector<std::size_t> untouched_rows;
    for (std::size_t row = 0; row < rows->size(); ++row) {
        if (rows->is_null(row, 2)) {
            untouched.emplace_back(rows->text(row, 3));
            untouched_rows.push_back(row);
        } else {
            columns.add(*rows, row, rows->text(row, 2), true);
        }
    }
    if (untouched.empty()) {
        return columns;
    }
    auto values = untouched_values(from, untouched, until);
    if (!values) {
        return values.error();
    }
    for (std::size_t i = 0; i < values->size(); ++i) {
        columns.add(*rows, untouched_rows[i], values->text(i, 1), values->truth(i, 2));
    }
    return columns;
}

}  // namespace

step_result<void> prepare_sequences(pg_client& from, pg_client& to, limits until) {
    if (auto done = from.prepare("sequences", std::string(list), until); !done) {
        return done;
    }
    return to.prepare("set_sequences", std::string(apply), until);
}

step_result<std::string>
copy_sequences(pg_client& from, pg_client& to, std::uint32_t margin, limits until) {
    auto read = read_sequences(from, until);
    if (!read) {
        return read.error();
    }
    const std::vector<std::string> values{
        read->schema.text(),
        read->name.text(),
        read->value.text(),
        read->called.text(),
        std::to_string(margin)};
    auto set = to.run("set_sequences", values, until);
    if (!set) {
        return set.error();
    }
    const auto found = static_cast<std::size_t>(set->number(0, 0));
    std::string text = fmt::format("{} of {} sequences set", set->number(0, 1), read->count);
    if (found < read->count) {
        text += fmt::format(", {} are not on {}", read->count - found, to.server());
    }
    return text;
}

}  // namespace pgsluice::control
