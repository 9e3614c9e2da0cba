#pragma once

#include "protocol/errors.hpp"
#include "protocol/wire/wire.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pgsluice::proxy {

/// Prepared statements whose name starts so are the proxy's own: they are made on a leg behind the
/// client's back, never captured and never replayed.
inline constexpr std::string_view private_prefix = "pgsluice.";

/// A NoticeResponse with this SQLSTATE is a private statement's answer and goes to nobody else.
inline constexpr std::string_view private_sqlstate = "SLU01";

/// What a step of a script re-creates or asks; tells which pin its failure means.
enum class script_item : std::uint8_t {
    protocol,  ///< the script's own scaffolding: BEGIN, COMMIT, private statements
    question,  ///< a SELECT whose rows are the answer
    setting,
    custom_setting,
    role,  ///< session authorization or role
    statement,
    sql_statement,
    unnamed_statement,
    channel,
    advisory_lock,
};

/// One awaited answer of a pipeline.
struct script_step {
    /// Which backend message ends the step.
    enum class kind : std::uint8_t { parse, execute, describe, close };

    kind ends_with = kind::execute;
    script_item item = script_item::protocol;
    std::string label;        ///< for people: "SET app.x", "PREPARE jp", "LISTEN ch"
    unsigned sync_group = 0;  ///< an error skips the rest of the group, not the groups after it
    bool needs_true = false;  ///< the row must be `t` (pg_try_advisory_lock)
};

/// A pipeline of frontend messages to be sent as it is to a backend at a boundary, and what comes
/// back: one answer a step, one ReadyForQuery a Sync group. Value type, no I/O.
struct script {
    std::string bytes;
    std::vector<script_step> steps;
    unsigned ready_expected = 0;  ///< how many ReadyForQuery the bytes yield

    bool empty() const noexcept { return bytes.empty(); }
};

/// Writes a script message by message ("Extended Query", chapter "Frontend/Backend Protocol").
/// Texts are in the encoding that the leg's client_encoding names when the server reads them.
class script_builder {
public:
    void parse(
        script_step step,
        std::string_view name,
        std::string_view text,
        std::span<const std::uint32_t> parameter_types = {}
    );
    /// A Parse message whose body exists already (name, text, types as in "Message Formats").
    void parse_body(script_step step, protocol::byte_view body);
    /// Bind (text parameters, unnamed portal) and Execute without a row limit.
    void
    run(script_step step,
        std::string_view statement,
        std::span<const std::string_view> parameters = {},
        bool wants_binary = false);
    void describe_statement(script_step step, std::string_view name);
    void close_statement(std::string_view name);
    /// A simple Query; it drops the unnamed statement. Ends its Sync group itself.
    void query(script_step step, std::string_view text);
    /// Sync; the next step belongs to a new group.
    void sync();

    /// The script; the builder is empty afterwards. The last call before must be sync() or query().
    script take();

private:
    void add(script_step&& step, script_step::kind ends_with);

    script script_;
    unsigned sync_group_ = 0;
};

/// A row that a question (script_item::question) answered; a column without a value is NULL.
struct script_row {
    std::vector<std::optional<std::string>> columns;
};

/// The first thing that went wrong in a Sync group.
struct script_error {
    failure what;  ///< the server's SQLSTATE and texts, or 08P01, 54000, 55P03 of our own
    script_step step;
    bool is_fatal = false;  ///< the leg is dead or out of step: close it
};

/// Everything a script came to.
struct script_outcome {
    std::vector<script_row> rows;  ///< of questions only, in order
    std::vector<script_error> errors;
    char transaction_status = '?';  ///< of the last ReadyForQuery
    unsigned ready_seen = 0;        ///< how many Sync groups were answered
    bool noticed = false;           ///< a notice with private_sqlstate came

    /// The first error of this Sync group; null if it went well.
    const script_error* error_in(unsigned sync_group) const noexcept;
    const script_error* first_error() const noexcept {
        return errors.empty() ? nullptr : &errors.front();
    }
    /// The leg was left inside a transaction: run rollback_request() before anything else.
    bool needs_rollback() const noexcept { return transaction_status != 'I'; }
};

/// Reads the answers. Feed whole backend messages in order, from the moment the script's bytes are
/// sent (the leg owed nothing before): forward what is `not_mine` to whoever owns the leg
/// (ParameterStatus, NotificationResponse, NoticeResponse that the script did not cause), go on
/// until `done`. Never fails by itself; what went wrong is in the outcome.
class script_reader {
public:
    enum class reply : std::uint8_t { mine, not_mine, done };

    /// `of` must outlive the reader.
    explicit script_reader(const script& of) noexcept : script_(of) {}

    /// `body` is only looked at during the call.
    reply on_message(char type, protocol::byte_view body);

    bool is_done() const noexcept { return is_done_; }

    /// What happened; valid once, after `done` or when the leg is given up (then incomplete).
    script_outcome take() { return std::move(outcome_); }

private:
    reply on_notice(protocol::byte_view body);
    void end_step(script_step::kind kind);
    void on_row(protocol::byte_view body);
    void on_error(protocol::byte_view body);
    void on_ready(protocol::byte_view body);
    void fail(failure what, bool is_fatal);
    bool awaits(script_step::kind kind) const noexcept;
    bool has_step_left() const noexcept;
    bool group_failed() const noexcept;
    script_step current_step() const;

    const script& script_;
    script_outcome outcome_;
    std::size_t next_step_ = 0;
    unsigned sync_group_ = 0;
    std::size_t rows_bytes_ = 0;
    bool skips_group_ = false;  ///< after an ErrorResponse the server ignores the rest of the group
    bool is_done_ = false;
};

}  // namespace pgsluice::proxy
