// The statements of ours that the guard puts in between; why is told in read_only_guard.cpp.

#include "protocol/guard/read_only_guard.hpp"
#include "protocol/wire/messages.hpp"

#include <utility>

namespace pgsluice::protocol {

namespace {

constexpr std::string_view begin_text = "BEGIN READ ONLY, NOT DEFERRABLE";
constexpr std::string_view again_text = "SET TRANSACTION READ ONLY";
constexpr std::string_view snapshot_text = "SELECT 1";
/// Refused in every read-only transaction. What the server logs of it should explain itself.
constexpr std::string_view denial_text = "CREATE TEMPORARY TABLE \"pgsluice: forced read-only\" ()";

}  // namespace

void read_only_guard::close_ours(char kind) {
    encode_close(to_server_, {kind, private_name});
    expect(asked::close, whose::ours);
}

/// For a Parse of ours that follows at once: none, unless the client's unnamed statement has to
/// stay. Parsing that again costs more than a name does.
std::string_view read_only_guard::name_of_ours(behind what) {
    using state = unnamed_statement::state;
    const bool is_there = !unnamed_.is_taken && unnamed_.now.what == state::known;
    const bool is_needed = what == behind::unnamed || (what == behind::sync && unnamed_.is_reused);
    const bool can_return = unnamed_.now.is_plain || !block_.was_run || what == behind::sync;
    if (unnamed_.now.what != state::stays && !(is_there && (is_needed || !can_return))) {
        unnamed_.is_taken = true;
        unnamed_.is_reused = false;
        return {};
    }
    if (std::exchange(is_name_left_, false)) {
        close_ours();
    }
    return private_name;
}

/// Runs one statement and leaves no name behind, nor a portal of the client's out.
void read_only_guard::run_ours(std::string_view text, whose for_whom, behind what) {
    const bool spares_portal = may_resume_ && what != behind::sync;
    const std::string_view portal = spares_portal ? private_name : std::string_view();
    const std::string_view name = name_of_ours(what);
    if (spares_portal) {
        close_ours('P');
    }
    encode_parse(to_server_, name, text);
    encode_bind(to_server_, {.portal = portal, .statement = name});
    encode_execute(to_server_, portal);
    expect(asked::parse, for_whom);
    expect(asked::bind, for_whom);
    expect(asked::execute, for_whom);
    if (!name.empty()) {
        close_ours();
    }
    if (spares_portal) {
        close_ours('P');
    }
}

/// Analyzing a query takes the transaction's first snapshot; it need not be run.
void read_only_guard::pin(behind what) {
    const std::string_view name = name_of_ours(what);
    encode_parse(to_server_, name, snapshot_text);
    expect(asked::parse, whose::ours);
    if (!name.empty()) {
        close_ours();
    }
}

/// Whatever the client sends next finds itself in a transaction that cannot write. True when it has
/// to take the snapshot, which it does where `pins_itself`.
bool read_only_guard::ensure(statement_kind kind, bool pins_itself, behind what) {
    // A failed block takes nothing but its end; the exact ones are our own texts.
    if (is_exact(kind) || block_.has_failed || block_.is_pinned) {
        return false;
    }
    if (!block_.is_open) {
        run_ours(begin_text, whose::ours, what);
        block_.is_open = true;
        block_.is_clients = false;
    } else if (block_.was_run) {
        run_ours(again_text, whose::ours, what);  // also right where the block has ended unseen
    }
    if (!pins_itself) {
        pin(what);
    }
    block_.is_pinned = true;
    return pins_itself;
}

/// Has the server refuse something in the client's place, so that its transaction fails as well.
void read_only_guard::deny(const std::string& what) {
    ensure(statement_kind::other);
    denied_what_ = what;
    run_ours(denial_text, whose::denial);
    if (!in_query_) {
        wait_for_answers();
    }
}

void read_only_guard::wait_for_answers() {
    flush_due_ = true;
    wait_ = wait::answers;
}

std::string read_only_guard::take_to_server() {
    if (std::exchange(flush_due_, false)) {
        encode_flush(to_server_);
    }
    return std::exchange(to_server_, {});
}

void read_only_guard::roll_back() {
    block_.is_open = false;
    run_ours("ROLLBACK");
    sync(whose::ours, then::end_block);
}

}  // namespace pgsluice::protocol
