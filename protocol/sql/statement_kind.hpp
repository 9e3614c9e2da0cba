#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::protocol {

/// How a session's texts are to be read.
struct text_rules {
    bool standard_strings = true;  ///< standard_conforming_strings
    /// client_encoding has no characters with ASCII bytes inside, as SJIS, BIG5, GBK and UHC have.
    bool safe_encoding = true;

    /// The rules for these values of two reported parameters.
    static text_rules of(std::string_view standard_strings, std::string_view client_encoding);
};

/// What forced read-only has to know of a statement before it runs. The kinds from `begin` to
/// `discard_all` are only given to texts whose every token was recognized, all of it plain ASCII.
enum class statement_kind : std::uint8_t {
    other,
    begin,            ///< BEGIN, START TRANSACTION
    end,              ///< COMMIT, END, ROLLBACK, ABORT of a whole transaction
    chain,            ///< the same AND CHAIN
    set_transaction,  ///< SET TRANSACTION
    discard_all,
    opaque,  ///< may begin or end a transaction, or ask for COPY data: only its answer tells
    denied,  ///< changes something that a read-only transaction does not protect
};

struct statement_reading {
    statement_kind kind = statement_kind::other;
    /// Of the recognized kinds: the same statement from its words alone; a `begin` is READ ONLY.
    std::string text{};
    /// Of `denied`: what, to complete "cannot execute ".
    std::string denied_what{};
};

/// Statements longer than this are denied unread.
inline constexpr std::size_t statement_bytes_max = 4 * 1024 * 1024;

/// Recognized word by word, so that its text can be replaced by our own.
constexpr bool is_exact(statement_kind kind) noexcept {
    return kind >= statement_kind::begin && kind <= statement_kind::discard_all;
}

/// Reads one statement. What it is wrong about is refused that could be allowed, or fails; it is
/// not what keeps a session from writing. `denied` beyond its words goes by names of functions: too
/// many are denied where the rules leave a doubt about what is a string and what is not.
statement_reading read_statement(std::string_view text, text_rules rules);

/// The statements in a query string. One that cannot be cut for sure is left whole, which the
/// server refuses if it holds several.
std::vector<std::string_view> split_statements(std::string_view text, text_rules rules);

/// Whether the server takes the transaction's snapshot before it analyzes this statement, which it
/// does for all that can start with SELECT or WITH: of those two words at the very beginning there
/// is no second reading, whatever the settings. False where that is not certain.
bool takes_snapshot(std::string_view text) noexcept;

/// Whether a FunctionCall of this built-in function creates or changes a large object ("Client
/// Interfaces", "Server-Side Functions"), which servers before version 16 allow in read-only
/// transactions.
bool is_large_object_writer(std::uint32_t function) noexcept;

}  // namespace pgsluice::protocol
