#pragma once

#include "protocol/console/console_answer.hpp"
#include "protocol/wire/wire.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::protocol {

/// The statements of a text, without the semicolons between them, surrounding white space and those
/// that are empty. Views into the text. What follows a string that does not end belongs to it.
std::vector<std::string_view> console_statements(std::string_view text);

/// The server's side of a session that talks to a console, after ReadyForQuery has been sent for
/// the first time: simple and extended queries, one statement after the other, answered by whoever
/// owns this. There are no parameters and no transactions. Sections 55.2.2 "Simple Query" and
/// 55.2.3 "Extended Query" of the manual.
///
/// Call protocol: receive() bytes, then advance() until it asks for more. After `run` the statement
/// has to be executed and answer()ed before advance() is called again.
class console_dialogue {
public:
    /// A longer message ends the session.
    static constexpr std::size_t message_bytes_max = 1UL << 20;
    /// Prepared statements, and portals, at the same time.
    static constexpr std::size_t names_max = 64;

    /// The columns that a statement will yield, none for a statement without rows; or what is wrong
    /// with it, before anything is executed.
    using describer = std::function<result<console_columns>(std::string_view statement)>;

    enum class step : std::uint8_t {
        read,  ///< nothing can be done before more bytes come
        run,   ///< execute statement()
        end,   ///< send what is left to send and close the connection
    };

    explicit console_dialogue(describer describe) : describe_(std::move(describe)) {}

    void receive(byte_view bytes) { in_.insert(in_.end(), bytes.begin(), bytes.end()); }
    step advance();
    const std::string& statement() const noexcept { return running_; }
    void answer(console_answer given);
    /// What is to be sent, in front of anything else.
    std::string take_output();

private:
    struct message {
        char type;
        byte_view body;
    };
    struct prepared {
        std::string text;  ///< empty: there is no statement in it
        console_columns columns{};
    };
    struct portal {
        prepared of;
        std::vector<std::int16_t> formats{};
        std::optional<console_answer> answer{};  ///< once it was executed
        std::size_t rows_sent = 0;
    };
    using names = std::map<std::string, portal, std::less<>>;

    std::optional<message> next_message();
    /// True when a statement is to be run.
    bool handle(const message& m);
    bool handle_extended(const message& m);
    void begin_query(byte_view body);
    result<void> parse(byte_view body);
    result<void> bind(byte_view body);
    result<void> describe(byte_view body);
    result<void> close(byte_view body);
    result<bool> execute(byte_view body);
    void send_rows(portal& from);
    void send_notices(const console_answer& given);
    void fail(const failure& why);
    void end_with(failure why);
    void ready();

    describer describe_;
    std::vector<std::uint8_t> in_;
    std::size_t at_ = 0;  ///< how much of it was worked through
    std::string out_;
    std::string running_;
    std::deque<std::string> queue_;  ///< of a simple Query, still to be run
    bool in_query_ = false;
    bool skips_ = false;  ///< everything up to the next Sync, after an error
    bool is_over_ = false;
    std::map<std::string, prepared, std::less<>> prepared_;
    names portals_;
    std::string executed_;  ///< the portal whose statement runs
    std::int32_t rows_max_ = 0;
};

}  // namespace pgsluice::protocol
