// Two ways to misuse a session state, chosen by the first byte: arbitrary messages in arbitrary
// order from both sides; and an arbitrary client in front of the model server of the unit tests,
// arbitrarily interleaved, where a boundary may only be claimed when the server owes nothing.

#include "protocol/conversation/session_state.hpp"
#include "protocol/wire/message_types.hpp"
#include "tests/fuzz/input.hpp"
#include "tests/unit/protocol/guard/model_server.hpp"

namespace {

using namespace pgsluice;
using namespace pgsluice::protocol;

void check(const session_state& state) {
    if (state.at_boundary()) {
        PGSLUICE_ASSERT(state.ready_owed() == 0 && !state.in_copy() && !state.uncertain());
        PGSLUICE_ASSERT(state.transaction_status() == 'I' && !state.answers_will_come());
    }
}

void any_messages(fuzz::input& in) {
    session_state state;
    while (!in.empty()) {
        const std::uint8_t byte = in.byte();
        if (byte % 2 == 0) {
            state.on_frontend(
                static_cast<std::uint8_t>(frontend::types[byte / 2 % frontend::types.size()])
            );
        } else {
            state.on_backend(
                static_cast<std::uint8_t>(backend::types[byte / 2 % backend::types.size()]),
                byte > 200 ? 'T' : 'I'
            );
        }
        check(state);
    }
}

void any_client(fuzz::input& in) {
    constexpr std::string_view types = "QQPBDECSSHFdcf";
    constexpr std::string_view statements = "sbcx0oivre";
    session_state state;
    model_server server(in.byte());
    while (!in.empty() && !server.dead()) {
        const std::uint8_t byte = in.byte();
        if (byte % 3 == 0) {
            const char type = types[byte / 3 % types.size()];
            const std::uint8_t what = in.byte();
            std::string plan(1, statements[what % statements.size()]);
            if (type == 'Q')
                plan += statements[what / 16 % statements.size()];
            state.on_frontend(static_cast<std::uint8_t>(type));
            server.input.push_back({type, plan});
        } else if (byte % 3 == 1) {
            server.step();
        } else if (!server.output.empty()) {
            const model_answer answer = server.output.front();
            server.output.pop_front();
            state.on_backend(static_cast<std::uint8_t>(answer.type), answer.status);
        }
        check(state);
        PGSLUICE_ASSERT(!state.at_boundary() || server.quiet());
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::input in(data, size);
    if (in.byte() % 4 == 0) {
        any_messages(in);
    } else {
        any_client(in);
    }
    return 0;
}
