// Any text is cut into tokens that stand in it in order, and into statements that do; reading a
// statement comes to the same however its memory ends.

#include "protocol/sql/sql_lexer.hpp"
#include "protocol/sql/statement_kind.hpp"
#include "tests/fuzz/input.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace pgsluice;
    using namespace pgsluice::protocol;
    fuzz::input in(data, size);
    const std::uint8_t choice = in.byte();
    const text_rules rules{(choice & 1U) != 0, (choice & 2U) != 0};
    const fuzz::exact_block block(in.rest());
    const std::string_view text = as_text(block.view());

    sql_lexer lexer(text, rules.standard_strings);
    std::size_t end = 0;
    for (sql_token token = lexer.next(); token.what != sql_token::kind::end; token = lexer.next()) {
        fuzz::touch(token.text);
        PGSLUICE_ASSERT(lexer.offset() > end && lexer.offset() <= text.size());
        end = lexer.offset();
    }

    const char* at = text.data();
    for (const std::string_view part : split_statements(text, rules)) {
        PGSLUICE_ASSERT(
            part.data() >= at && part.data() + part.size() <= text.data() + text.size()
        );
        at = part.data() + part.size();
        const statement_reading read = read_statement(part, rules);
        PGSLUICE_ASSERT(is_exact(read.kind) == !read.text.empty());
        PGSLUICE_ASSERT((read.kind == statement_kind::denied) == !read.denied_what.empty());
    }
    return 0;
}
