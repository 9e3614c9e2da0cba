// A client's whole conversation with a console, as bytes in and messages out.
#include "protocol/console/console_dialogue.hpp"
#include "protocol/wire/messages.hpp"
#include "tests/unit/protocol/wire/exact_bytes.hpp"

#include <gmock/gmock.h>

#include <string>
#include <vector>

namespace pgsluice::protocol {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr console_column two_columns[] = {{"name"}, {"count", column_type::int4}};

/// SHOW has two rows of two columns, PAUSE has none, WRONG fails before it runs, LATE when it does.
result<console_columns> describe(std::string_view statement) {
    if (statement.starts_with("WRONG")) {
        return failure{"42601", "unknown command", {}, {}};
    }
    return statement.starts_with("SHOW") ? console_columns(two_columns) : console_columns();
}

console_answer answer_to(const std::string& statement) {
    if (statement.starts_with("WRONG") || statement.starts_with("LATE")) {
        return console_answer::failed({"55000", "cannot", "because", {}});
    }
    console_answer answer = console_answer::done(statement.substr(0, statement.find(' ')));
    if (statement.starts_with("SHOW")) {
        answer.columns = two_columns;
        answer.rows = {{"a", "1"}, {std::nullopt, "-2"}};
    }
    return answer;
}

/// One letter a message of the server; ErrorResponse with its SQLSTATE.
std::vector<std::string> letters(const std::string& bytes) {
    std::vector<std::string> found;
    for (std::size_t at = 0; at < bytes.size();) {
        const std::size_t length = load_u32(as_bytes(bytes).data() + at + 1);
        found.emplace_back(1, bytes[at]);
        if (bytes[at] == backend::ErrorResponse) {
            const auto body = as_bytes(bytes).subspan(at + 5, length - 4);
            found.back() += decode_error_response(body)->sqlstate;
        }
        at += length + 1;
    }
    return found;
}

struct conversation {
    std::string out;
    std::vector<std::string> statements;
    console_dialogue::step last = console_dialogue::step::read;
};

conversation hold(const std::string& in, std::size_t piece) {
    console_dialogue dialogue(describe);
    conversation held;
    for (std::size_t at = 0; at < in.size(); at += piece) {
        dialogue.receive(exact_bytes(in.substr(at, piece)).view());
        while ((held.last = dialogue.advance()) == console_dialogue::step::run) {
            held.statements.push_back(dialogue.statement());
            dialogue.answer(answer_to(dialogue.statement()));
        }
        held.out += dialogue.take_output();
        if (held.last == console_dialogue::step::end) {
            break;
        }
    }
    return held;
}

/// However the bytes are cut, the same comes out.
conversation hold(const std::string& in) {
    const conversation whole = hold(in, in.size());
    const conversation bytewise = hold(in, 1);
    EXPECT_EQ(whole.out, bytewise.out);
    EXPECT_EQ(whole.statements, bytewise.statements);
    EXPECT_EQ(whole.last, bytewise.last);
    return whole;
}

std::string query(std::string_view text) {
    std::string out;
    encode_query(out, text);
    return out;
}

std::string sync() {
    std::string out;
    encode_sync(out);
    return out;
}

std::string parse(std::string_view text, std::string_view name = {}) {
    std::string out;
    encode_parse(out, name, text);
    return out;
}

std::string bind(const bind_arguments& arguments = {}) {
    std::string out;
    encode_bind(out, arguments);
    return out;
}

std::string describe_message(char kind, std::string_view name = {}) {
    std::string out;
    encode_describe(out, {kind, name});
    return out;
}

std::string execute(std::string_view portal = {}, std::int32_t rows_max = 0) {
    std::string out;
    encode_execute(out, portal, rows_max);
    return out;
}

TEST(ConsoleStatements, AreCutAtSemicolonsOutsideOfQuotesAndComments) {
    EXPECT_THAT(
        console_statements(" PAUSE ; RELOAD;;\n-- no; more\nADMIT 'a;b' ; "),
        ElementsAre("PAUSE", "RELOAD", "-- no; more\nADMIT 'a;b'")
    );
    EXPECT_THAT(console_statements("SHOW 'x; RESUME"), ElementsAre("SHOW 'x; RESUME"));
    EXPECT_THAT(console_statements(" ; -- nothing\n;"), ElementsAre());
    EXPECT_THAT(console_statements(""), ElementsAre());
}

TEST(ConsoleDialogue, SimpleQueryRunsItsStatementsInOrder) {
    const conversation held = hold(query("SHOW X; PAUSE"));
    EXPECT_THAT(held.statements, ElementsAre("SHOW X", "PAUSE"));
    EXPECT_THAT(letters(held.out), ElementsAre("T", "D", "D", "C", "C", "Z"));
    EXPECT_EQ(held.last, console_dialogue::step::read);
}

TEST(ConsoleDialogue, SimpleQueryEndsAtItsFirstError) {
    const conversation held = hold(query("PAUSE; LATE; RESUME") + query("RESUME"));
    EXPECT_THAT(held.statements, ElementsAre("PAUSE", "LATE", "RESUME"));
    EXPECT_THAT(letters(held.out), ElementsAre("C", "E55000", "Z", "C", "Z"));
}

TEST(ConsoleDialogue, EmptyQueryIsAnswered) {
    EXPECT_THAT(letters(hold(query("; -- nothing")).out), ElementsAre("I", "Z"));
}

TEST(ConsoleDialogue, RowsAreSentAsTheServerSendsThem) {
    const conversation held = hold(query("SHOW X"));
    EXPECT_THAT(held.out, HasSubstr(std::string("name\0\0\0\0\0\0\0\0\0\0\x19\xff\xff", 17)));
    EXPECT_THAT(held.out, HasSubstr(std::string("count\0\0\0\0\0\0\0\0\0\0\x17\0\x04", 18)));
    EXPECT_THAT(
        held.out,
        HasSubstr(message(
            'D',
            std::string(
                "\0\2\0\0\0\1a\0\0\0\1"
                "1",
                12
            )
        ))
    );
    EXPECT_THAT(
        held.out, HasSubstr(message('D', std::string("\0\2\xff\xff\xff\xff\0\0\0\2-2", 12)))
    );
    EXPECT_THAT(held.out, HasSubstr(message('C', std::string("SHOW\0", 5))));
    EXPECT_TRUE(held.out.ends_with(message('Z', "I")));
}

TEST(ConsoleDialogue, ExtendedQueryDescribesBeforeItRuns) {
    const conversation held =
        hold(parse("SHOW X") + describe_message('S') + bind() + describe_message('P') + sync());
    EXPECT_THAT(letters(held.out), ElementsAre("1", "t", "T", "2", "T", "Z"));
    EXPECT_THAT(held.statements, ElementsAre());
}

TEST(ConsoleDialogue, ExtendedQueryRunsWhenItIsExecuted) {
    const conversation held = hold(
        parse("SHOW X", "s") + bind({.statement = "s"}) + execute() + parse("PAUSE") + bind() +
        describe_message('P') + execute() + sync()
    );
    EXPECT_THAT(held.statements, ElementsAre("SHOW X", "PAUSE"));
    EXPECT_THAT(letters(held.out), ElementsAre("1", "2", "D", "D", "C", "1", "2", "n", "C", "Z"));
}

TEST(ConsoleDialogue, RowsAreHandedOutInPortionsAndTheStatementRunsOnce) {
    const conversation held =
        hold(parse("SHOW X") + bind() + execute("", 1) + execute("", 5) + execute("", 1) + sync());
    EXPECT_THAT(held.statements, ElementsAre("SHOW X"));
    EXPECT_THAT(letters(held.out), ElementsAre("1", "2", "D", "s", "D", "C", "C", "Z"));
}

TEST(ConsoleDialogue, CommandDoesNotRunTwiceInOnePortal) {
    const conversation held = hold(parse("PAUSE") + bind() + execute() + execute() + sync());
    EXPECT_THAT(held.statements, ElementsAre("PAUSE"));
    EXPECT_THAT(letters(held.out), ElementsAre("1", "2", "C", "E55000", "Z"));
}

TEST(ConsoleDialogue, ErrorsSkipToTheNextSync) {
    const conversation held =
        hold(parse("WRONG") + bind() + execute() + query("PAUSE") + sync() + query("RESUME"));
    EXPECT_THAT(held.statements, ElementsAre("RESUME"));
    EXPECT_THAT(letters(held.out), ElementsAre("E42601", "Z", "C", "Z"));
    const conversation late = hold(parse("LATE") + bind() + execute() + execute() + sync());
    EXPECT_THAT(letters(late.out), ElementsAre("1", "2", "E55000", "Z"));
}

TEST(ConsoleDialogue, WrongMessagesAreRefusedAsTheServerRefusesThem) {
    const std::optional<std::string_view> one[] = {"1"};
    const std::int16_t three_formats[] = {0, 0, 0};
    const std::int16_t odd_format[] = {2};
    const std::pair<std::string, const char*> rows[] = {
        {parse("PAUSE; RESUME"), "E42601"},
        {bind(), "E26000"},
        {execute(), "E34000"},
        {describe_message('S', "x"), "E26000"},
        {describe_message('P', "x"), "E34000"},
        {parse("PAUSE", "a") + parse("PAUSE", "a"), "E42P05"},
        {parse("PAUSE") + bind({.parameters = one}), "E08P01"},
        {parse("SHOW X") + bind({.result_formats = three_formats}), "E08P01"},
        {parse("SHOW X") + bind({.result_formats = odd_format}), "E22023"},
        {parse("SHOW X") + bind({.portal = "p"}) + bind({.portal = "p"}), "E42P03"},
        {message('P', "no end"), "E08P01"},
        {message('E', "no end"), "E08P01"},
        {message('F', "whatever"), "E0A000"},
    };
    for (const auto& [in, expected] : rows) {
        EXPECT_THAT(letters(hold(in).out), testing::Contains(expected)) << in;
    }
}

TEST(ConsoleDialogue, StatementsAndPortalsAreCounted) {
    std::string in;
    for (std::size_t i = 0; i <= console_dialogue::names_max; ++i) {
        in += parse("PAUSE", "s" + std::to_string(i));
    }
    EXPECT_EQ(letters(hold(in, in.size()).out).back(), "E54000");
    in = parse("PAUSE");
    const std::string close = message('C', std::string("Sx\0", 3));
    for (std::size_t i = 0; i <= 2 * console_dialogue::names_max; ++i) {
        in += parse("PAUSE", "x") + close;
    }
    EXPECT_EQ(letters(hold(in, in.size()).out).back(), "3");
}

TEST(ConsoleDialogue, SessionsEndAtTerminateAndAtWhatIsNoMessage) {
    std::string terminate;
    encode_terminate(terminate);
    EXPECT_EQ(hold(terminate).last, console_dialogue::step::end);
    EXPECT_EQ(hold(terminate).out, "");
    for (const std::string& in :
         {std::string("Q\0\0\0\3", 5),
          std::string("Q\x7f\0\0\0", 5),
          message('p', "x"),
          message('?', ""),
          message('Q', "no zero")}) {
        const conversation held = hold(in);
        EXPECT_EQ(held.last, console_dialogue::step::end) << in;
        EXPECT_THAT(letters(held.out), ElementsAre("E08P01")) << in;
    }
}

TEST(ConsoleDialogue, LongestMessageIsTakenAndOneLongerIsNot) {
    const std::size_t most = console_dialogue::message_bytes_max - 5;
    const std::string fits = query("PAUSE" + std::string(most - 5, ' '));
    EXPECT_THAT(letters(hold(fits, fits.size()).out), ElementsAre("C", "Z"));
    const std::string over = query("PAUSE" + std::string(most - 4, ' '));
    EXPECT_THAT(letters(hold(over, over.size()).out), ElementsAre("E08P01"));
}

TEST(ConsoleDialogue, MessagesOfACopyThatNeverWasAreIgnored) {
    const std::string in = message('d', "x") + message('c') + message('f', std::string("x\0", 2));
    EXPECT_EQ(hold(in + message('H')).out, "");
}

TEST(ConsoleDialogue, NoticesComeFirst) {
    console_dialogue dialogue(describe);
    dialogue.receive(as_bytes(query("PAUSE")));
    ASSERT_EQ(dialogue.advance(), console_dialogue::step::run);
    console_answer answer = console_answer::done("PAUSE");
    answer.notices.push_back({"00000", "by the way", {}, {}});
    dialogue.answer(answer);
    EXPECT_EQ(dialogue.advance(), console_dialogue::step::read);
    EXPECT_THAT(letters(dialogue.take_output()), ElementsAre("N", "C", "Z"));
}

std::string binary(column_type type, std::string_view text) {
    std::string out;
    return encode_binary_value(out, type, text) ? out : "refused";
}

TEST(ConsoleAnswer, BinaryValuesAreThoseOfTheServersTypes) {
    using namespace std::literals;
    EXPECT_EQ(binary(column_type::text, "a"), "a");
    EXPECT_EQ(binary(column_type::int4, "-2"), "\xff\xff\xff\xfe"s);
    EXPECT_EQ(binary(column_type::int8, "258"), "\0\0\0\0\0\0\1\2"s);
    EXPECT_EQ(binary(column_type::int4, "2147483648"), "refused");
    EXPECT_EQ(binary(column_type::int4, "x"), "refused");
    EXPECT_EQ(binary(column_type::int8, ""), "refused");
    // As numeric_send() of PostgreSQL 15 has them: digits, weight, sign, scale, digits of 10000.
    EXPECT_EQ(binary(column_type::numeric, "0"), "\0\0\0\0\0\0\0\0"s);
    EXPECT_EQ(binary(column_type::numeric, "12"), "\0\1\0\0\0\0\0\0\0\x0c"s);
    EXPECT_EQ(binary(column_type::numeric, "-10002"), "\0\2\0\1\x40\0\0\0\0\1\0\2"s);
    EXPECT_EQ(binary(column_type::numeric, "00120000"), "\0\2\0\1\0\0\0\0\0\x0c\0\0"s);
    EXPECT_EQ(binary(column_type::numeric, "1.5"), "refused");
    EXPECT_EQ(binary(column_type::numeric, "-"), "refused");
}

}  // namespace
}  // namespace pgsluice::protocol
