// What a statement is, from its words. The first ones tell the kind; the names of functions that
// write where no read-only transaction stops them are looked for in all of it.

#include "protocol/sql/statement_kind.hpp"

#include "protocol/sql/sql_lexer.hpp"
#include "protocol/sql/sql_text.hpp"

#include <algorithm>
#include <array>
#include <optional>

namespace pgsluice::protocol {

namespace {

using kind = sql_token::kind;

/// Sorted. Large objects (before 16), slots, origins, files, statistics (18), other sessions.
constexpr std::string_view writers[] = {
    "dblink",
    "dblink_connect",
    "dblink_connect_u",
    "dblink_exec",
    "dblink_open",
    "dblink_send_query",
    "heap_force_freeze",
    "heap_force_kill",
    "lo_creat",
    "lo_create",
    "lo_export",
    "lo_from_bytea",
    "lo_import",
    "lo_put",
    "lo_truncate",
    "lo_truncate64",
    "lo_unlink",
    "lowrite",
    "pg_clear_attribute_stats",
    "pg_clear_relation_stats",
    "pg_copy_logical_replication_slot",
    "pg_copy_physical_replication_slot",
    "pg_create_logical_replication_slot",
    "pg_create_physical_replication_slot",
    "pg_create_restore_point",
    "pg_drop_replication_slot",
    "pg_file_rename",
    "pg_file_sync",
    "pg_file_unlink",
    "pg_file_write",
    "pg_import_system_collations",
    "pg_logical_slot_get_binary_changes",
    "pg_logical_slot_get_changes",
    "pg_replication_origin_advance",
    "pg_replication_origin_create",
    "pg_replication_origin_drop",
    "pg_replication_origin_session_setup",
    "pg_replication_origin_xact_setup",
    "pg_replication_slot_advance",
    "pg_restore_attribute_stats",
    "pg_restore_relation_stats",
    "pg_sync_replication_slots",
};

bool is_writer(std::string_view folded) {
    return std::binary_search(std::begin(writers), std::end(writers), folded);
}

bool can_be_cut(std::string_view text, text_rules rules) {
    return (rules.standard_strings && rules.safe_encoding) || is_plain_text(text);
}

statement_reading denied(std::string what) {
    return {statement_kind::denied, {}, std::move(what)};
}

/// Walks over the tokens of a statement that consists of a few words.
class words {
public:
    words(std::string_view text, bool standard_strings) : lexer_(text, standard_strings) { move(); }

    const sql_token& now() const { return now_; }
    bool take(std::string_view word) {
        const bool matches = now_.is(word);
        if (matches) {
            taken_ += taken_.empty() ? "" : " ";
            taken_ += word;
            move();
        }
        return matches;
    }
    bool take_any(std::initializer_list<std::string_view> choices) {
        return std::any_of(choices.begin(), choices.end(), [this](auto word) {
            return take(word);
        });
    }
    bool take_symbol(char symbol) {
        const bool matches = now_.is(symbol);
        if (matches) {
            taken_ += symbol;
            move();
        }
        return matches;
    }
    /// A string that can mean only one thing.
    bool take_string() {
        const bool matches = now_.what == kind::string && now_.text[0] == '\'';
        if (matches) {
            taken_.append(" ").append(now_.text);
            move();
        }
        return matches;
    }
    bool at_end() {
        while (now_.is(';')) {
            move();
        }
        return now_.what == kind::end;
    }
    /// The words so far, in lower case and with a blank between each.
    const std::string& taken() const { return taken_; }

private:
    void move() { now_ = lexer_.next(); }

    sql_lexer lexer_;
    sql_token now_;
    std::string taken_;
};

struct transaction_modes {
    bool is_read_write = false;
    bool is_read_only = false;
};

/// transaction_mode [, ...] up to the end of the statement.
std::optional<transaction_modes> take_modes(words& of) {
    transaction_modes modes;
    while (!of.at_end()) {
        if (of.take("isolation")) {
            if (!of.take("level")) {
                return std::nullopt;
            }
            const bool is_known = of.take("serializable") ||
                                  (of.take("repeatable") && of.take("read")) ||
                                  (of.take("read") && of.take_any({"committed", "uncommitted"}));
            if (!is_known) {
                return std::nullopt;
            }
        } else if (of.take("read")) {
            const bool is_only = of.take("only");
            if (!is_only && !of.take("write")) {
                return std::nullopt;
            }
            modes.is_read_only = modes.is_read_only || is_only;
            modes.is_read_write = modes.is_read_write || !is_only;
        } else if (of.take("not") ? !of.take("deferrable") : !of.take("deferrable")) {
            return std::nullopt;
        }
        of.take_symbol(',');
    }
    return modes;
}

statement_reading exact(statement_kind what, const words& of) {
    return {what, of.taken(), {}};
}

constexpr statement_kind unclear = statement_kind::opaque;

statement_reading read_begin(words& of) {
    if (of.take("start") ? !of.take("transaction") : !of.take("begin")) {
        return {unclear, {}, {}};
    }
    of.take_any({"work", "transaction"});
    const auto modes = take_modes(of);
    if (!modes) {
        return {unclear, {}, {}};
    }
    if (modes->is_read_write) {
        return denied("a READ WRITE transaction");
    }
    statement_reading begin = exact(statement_kind::begin, of);
    begin.text += modes->is_read_only ? "" : " read only";
    return begin;
}

statement_reading read_end(words& of) {
    const bool rolls_back = of.now().is("rollback");
    of.take_any({"commit", "end", "rollback", "abort"});
    of.take_any({"work", "transaction"});
    if (of.now().is("prepared")) {
        return denied("COMMIT PREPARED or ROLLBACK PREPARED");
    }
    if (rolls_back && of.now().is("to")) {
        return {};
    }
    bool chains = false;
    if (of.take("and")) {
        chains = !of.take("no");
        if (!of.take("chain")) {
            return {unclear, {}, {}};
        }
    }
    const auto what = chains ? statement_kind::chain : statement_kind::end;
    return of.at_end() ? exact(what, of) : statement_reading{unclear, {}, {}};
}

statement_reading read_set(words& of) {
    of.take("set");
    if (!of.take("transaction")) {
        return {};
    }
    if (of.take("snapshot")) {
        const bool is_exact = of.take_string() && of.at_end();
        return is_exact ? exact(statement_kind::set_transaction, of) : statement_reading{};
    }
    const auto modes = take_modes(of);
    if (!modes) {
        return {};
    }
    return modes->is_read_write ? denied("SET TRANSACTION READ WRITE")
                                : exact(statement_kind::set_transaction, of);
}

statement_reading read_discard(words& of) {
    of.take("discard");
    return of.take("all") && of.at_end() ? exact(statement_kind::discard_all, of)
                                         : statement_reading{};
}

statement_reading read_prepare(words& of) {
    of.take("prepare");
    const bool is_two_phase = of.take("transaction") && !of.now().is("as") && !of.now().is('(');
    return is_two_phase ? denied("PREPARE TRANSACTION") : statement_reading{};
}

/// COPY thing TO STDOUT and COPY thing FROM STDIN are the only ones that stay on the wire.
statement_reading read_copy(std::string_view text, bool standard_strings) {
    sql_lexer lexer(text, standard_strings);
    int depth = 0;
    for (sql_token token = lexer.next(); token.what != kind::end; token = lexer.next()) {
        depth += token.is('(') ? 1 : token.is(')') ? -1 : 0;
        if (depth != 0 || !(token.is("to") || token.is("from"))) {
            continue;
        }
        const sql_token where = lexer.next();
        // Both words are taken for either direction by the server's grammar.
        if (where.is("stdout") || where.is("stdin")) {
            return {token.is("to") ? statement_kind::other : statement_kind::opaque, {}, {}};
        }
        return denied("COPY to or from a file or program of the server");
    }
    return {};
}

statement_reading read_by_first_words(std::string_view text, bool standard_strings) {
    words of(text, standard_strings);
    const sql_token& first = of.now();
    if (first.what != kind::word) {
        return {};
    }
    if (first.is("begin") || first.is("start")) {
        return read_begin(of);
    }
    if (first.is("commit") || first.is("end") || first.is("rollback") || first.is("abort")) {
        return read_end(of);
    }
    if (first.is("set")) {
        return read_set(of);
    }
    if (first.is("discard")) {
        return read_discard(of);
    }
    if (first.is("prepare")) {
        return read_prepare(of);
    }
    if (first.is("copy")) {
        return read_copy(text, standard_strings);
    }
    // Of a statement that was prepared by the protocol, which may be any of the above.
    return {first.is("execute") ? statement_kind::opaque : statement_kind::other, {}, {}};
}

/// The name of a function that is called and writes, or nothing.
std::string find_writer(std::string_view text, bool standard_strings) {
    sql_lexer lexer(text, standard_strings);
    std::string candidate;
    for (sql_token token = lexer.next(); token.what != kind::end; token = lexer.next()) {
        const bool is_called = token.is('(') || token.is("uescape");
        if (is_called && !candidate.empty()) {
            return candidate;
        }
        candidate.clear();
        if (token.what == kind::word || token.what == kind::quoted) {
            std::string name = lower_case(token.text);
            candidate = is_writer(name) ? std::move(name) : "";
        } else if (token.what == kind::unicode) {
            candidate = "a function under an escaped name";
        }
    }
    return {};
}

/// The same where strings cannot be told from code: any word of that name anywhere.
std::string find_writer_anywhere(std::string_view text) {
    for (std::size_t at = 0; at < text.size();) {
        std::size_t end = at;
        while (end < text.size() && is_identifier_byte(text[end]) &&
               static_cast<unsigned char>(text[end]) < 0x80) {
            ++end;
        }
        if (end > at) {
            std::string name = lower_case(text.substr(at, end - at));
            if (is_writer(name)) {
                return name;
            }
        }
        at = end + 1;
    }
    return text.find("U&\"") != text.npos || text.find("u&\"") != text.npos
               ? "a function under an escaped name"
               : "";
}

}  // namespace

text_rules text_rules::of(std::string_view standard_strings, std::string_view client_encoding) {
    constexpr std::string_view unsafe[] = {
        "SJIS", "BIG5", "GBK", "UHC", "GB18030", "JOHAB", "SHIFT_JIS_2004"};
    return {
        standard_strings == "on",
        std::find(std::begin(unsafe), std::end(unsafe), client_encoding) == std::end(unsafe)};
}

statement_reading read_statement(std::string_view text, text_rules rules) {
    if (text.size() > statement_bytes_max) {
        return denied("a statement of more than 4 MiB");
    }
    const bool is_clear = can_be_cut(text, rules);
    statement_reading reading = read_by_first_words(text, rules.standard_strings);
    if (!is_clear && words(text, true).now().is("copy")) {
        return denied("COPY with a text that can be read in two ways");
    }
    if (is_exact(reading.kind) && !is_plain_text(text)) {
        return {statement_kind::opaque, {}, {}};
    }
    if (is_exact(reading.kind) || reading.kind == statement_kind::denied) {
        return reading;
    }
    const std::string writer =
        is_clear ? find_writer(text, rules.standard_strings) : find_writer_anywhere(text);
    return writer.empty() ? reading : denied(writer + "()");
}

std::vector<std::string_view> split_statements(std::string_view text, text_rules rules) {
    std::vector<std::string_view> parts;
    if (text.find(';') == text.npos || text.size() > statement_bytes_max ||
        !can_be_cut(text, rules)) {
        return {text};
    }
    sql_lexer lexer(text, rules.standard_strings);
    std::size_t start = 0;
    int depth = 0;
    bool has_tokens = false;
    for (;;) {
        const sql_token token = lexer.next();
        if (token.what == kind::unfinished) {
            return {text};
        }
        depth += token.is('(') ? 1 : token.is(')') ? -1 : 0;
        const bool is_last = token.what == kind::end;
        if (!is_last && !(token.is(';') && depth <= 0)) {
            has_tokens = true;
            continue;
        }
        if (has_tokens) {
            const std::size_t end = is_last ? text.size() : lexer.offset() - 1;
            parts.push_back(text.substr(start, end - start));
        }
        if (is_last) {
            break;
        }
        start = lexer.offset();
        has_tokens = false;
    }
    return parts.empty() ? std::vector<std::string_view>{text} : parts;
}

bool takes_snapshot(std::string_view text) noexcept {
    while (!text.empty() && is_space(text[0])) {
        text.remove_prefix(1);
    }
    return starts_with_word(text, "select") || starts_with_word(text, "with");
}

bool is_large_object_writer(std::uint32_t function) noexcept {
    constexpr std::uint32_t functions[] = {
        715, 764, 765, 767, 955, 957, 964, 1004, 3172, 3457, 3460};
    return std::find(std::begin(functions), std::end(functions), function) != std::end(functions);
}

}  // namespace pgsluice::protocol
