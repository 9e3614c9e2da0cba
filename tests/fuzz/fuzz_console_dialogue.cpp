// Whatever a client of the console sends, in whatever pieces, is answered with whole messages, and
// the same bytes get the same answers however they are cut.

#include "protocol/console/console_dialogue.hpp"
#include "protocol/wire/message_types.hpp"
#include "tests/fuzz/input.hpp"

#include <string>

namespace {

using namespace pgsluice;
using namespace pgsluice::protocol;

constexpr console_column columns[] = {
    {"text"}, {"int4", column_type::int4}, {"numeric", column_type::numeric}};

/// S... has rows, E... fails at once, F... when it runs, everything else is a command.
result<console_columns> describe(std::string_view statement) {
    if (statement.starts_with('E')) {
        return failure{"42601", "wrong", {}, {}};
    }
    return statement.starts_with('S') ? console_columns(columns) : console_columns();
}

console_answer answer_to(const std::string& statement) {
    if (statement.starts_with('E') || statement.starts_with('F')) {
        return console_answer::failed({"55000", "no", {}, {}});
    }
    console_answer answer = console_answer::done("DONE");
    if (statement.starts_with('S')) {
        answer.columns = columns;
        answer.rows = {{"a", "1", "123456789"}, {std::nullopt, std::nullopt, "x"}};
    }
    return answer;
}

std::string hold(byte_view in, std::size_t piece) {
    console_dialogue dialogue(describe);
    std::string out;
    for (std::size_t at = 0; at < in.size(); at += piece) {
        dialogue.receive(in.subspan(at, std::min(piece, in.size() - at)));
        auto step = dialogue.advance();
        while (step == console_dialogue::step::run) {
            PGSLUICE_ASSERT(!dialogue.statement().empty());
            dialogue.answer(answer_to(dialogue.statement()));
            step = dialogue.advance();
        }
        out += dialogue.take_output();
        if (step == console_dialogue::step::end) {
            break;
        }
    }
    return out;
}

void check_messages(const std::string& out) {
    for (std::size_t at = 0; at < out.size();) {
        PGSLUICE_ASSERT(backend_types.contains(out[at]) && out.size() - at >= 5);
        at += 1 + load_u32(as_bytes(out).data() + at + 1);
        PGSLUICE_ASSERT(at <= out.size());
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::input in(data, size);
    const std::size_t piece = in.byte() + 1U;
    const fuzz::exact_block block(in.rest());
    const std::string out = hold(block.view(), piece);
    check_messages(out);
    PGSLUICE_ASSERT(out == hold(block.view(), std::max<std::size_t>(1, block.view().size())));
    return 0;
}
