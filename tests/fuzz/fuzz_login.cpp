// Whatever a client or a server sends during a login is answered or refused, and a login never
// ends well unless somebody knew the secret. Verifiers and user lists that parse are what was
// written.

#include "protocol/auth/base64.hpp"
#include "protocol/auth/credentials.hpp"
#include "protocol/auth/login_challenge.hpp"
#include "protocol/auth/saslprep.hpp"
#include "protocol/auth/userlist.hpp"
#include "protocol/wire/messages.hpp"
#include "tests/fuzz/input.hpp"

#include <vector>

namespace {

using namespace pgsluice;
using namespace pgsluice::protocol;

constexpr std::string_view list =
    "\"scram\" \"SCRAM-SHA-256$1:AAAA$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=\"\n\"md5\" "
    "\"md57c53eaf86052083b816bfc7c7a6edf5d\"\n"
    "\"plain\" \"unguessable\"\n";

const user_list& users() {
    static const user_list made = [] {
        user_list u;
        PGSLUICE_ASSERT(parse_userlist(list, u));
        u.derive_verifiers();
        return u;
    }();
    return made;
}

/// The input as messages: each is preceded by its length in one byte.
std::vector<fuzz::exact_block> messages_of(fuzz::input& in) {
    std::vector<fuzz::exact_block> messages;
    while (!in.empty() && messages.size() < 8) {
        const std::size_t wanted = in.byte() * 5U;
        const std::size_t size = std::min(wanted, in.rest().size());
        messages.emplace_back(in.rest().first(size));
        for (std::size_t i = 0; i < size; ++i)
            in.byte();
    }
    return messages;
}

void challenge(fuzz::input& in) {
    constexpr const char* names[] = {"scram", "md5", "plain", "nobody"};
    const std::uint8_t choice = in.byte();
    login_challenge login(
        choice % 2 == 0 ? challenge_method::scram_sha_256 : challenge_method::md5,
        users(),
        names[choice / 2 % 4],
        {"servernonce", {1, 2, 3, 4}},
        {.end_point = (choice & 8U) != 0 ? "hash" : ""}
    );
    fuzz::touch(login.request());
    for (const auto& message : messages_of(in)) {
        const auto next = login.answer(message.view());
        if (!next) {
            PGSLUICE_ASSERT(next.error().sqlstate.size() == 5);
            return;
        }
        fuzz::touch(next->to_send);
        PGSLUICE_ASSERT(!next->is_done);
    }
}

void be_challenged(fuzz::input& in) {
    credentials known;
    const std::uint8_t choice = in.byte();
    if (choice % 4 == 1)
        known.md5 = secret("md57c53eaf86052083b816bfc7c7a6edf5d");
    if (choice % 4 >= 2)
        known.keys = derive_scram_keys("pencil", {{0, 0, 0}, 1});
    if (choice % 4 == 3)
        known.password = secret("pencil");
    backend_login login(known, "alice", "abc", (choice & 4U) != 0 ? "hash" : "");
    for (const auto& message : messages_of(in)) {
        // With many iterations the fuzzer would only find out that they take long.
        if (choice % 4 == 3 && as_text(message.view()).find("i=1,") == std::string_view::npos)
            known.password = secret();
        const auto answer = login.answer(message.view());
        if (!answer) {
            PGSLUICE_ASSERT(answer.error().sqlstate.size() == 5);
            return;
        }
        PGSLUICE_ASSERT(answer->empty() || answer->front() == frontend::PasswordMessage);
    }
}

void observe(fuzz::input& in) {
    scram_observer observer(*users().find("scram")->verifier);
    const auto messages = messages_of(in);
    if (messages.size() < 3)
        return;
    observer.client_first(as_text(messages[0].view()));
    observer.server_first(as_text(messages[1].view()));
    observer.client_final(as_text(messages[2].view()));
    observer.learned();
}

void parse_texts(fuzz::input& in) {
    const fuzz::exact_block block(in.rest());
    const std::string_view text = as_text(block.view());
    if (const auto verifier = parse_scram_verifier(text))
        PGSLUICE_ASSERT(parse_scram_verifier(to_text(*verifier)));
    if (const auto bytes = decode_base64(text))
        PGSLUICE_ASSERT(encode_base64(*bytes) == text);
    const secret prepared = saslprep(text);
    PGSLUICE_ASSERT(prepared.view().size() <= text.size());
    user_list read;
    const auto done = parse_userlist(text, read);
    PGSLUICE_ASSERT(done || done.error().message.find(": ") != std::string::npos);
    std::string initial;
    if (const auto response = decode_sasl_initial_response(block.view());
        response && response->data)
        encode_sasl_initial_response(initial, response->mechanism, as_text(*response->data));
    PGSLUICE_ASSERT(initial.empty() || std::string_view(initial).substr(5) == text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::input in(data, size);
    switch (in.byte() % 4) {
    case 0:
        challenge(in);
        break;
    case 1:
        be_challenged(in);
        break;
    case 2:
        observe(in);
        break;
    default:
        parse_texts(in);
    }
    return 0;
}
