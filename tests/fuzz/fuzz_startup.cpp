// More bytes never change an answer that a prefix has had, and what parses can be encoded again.

#include "protocol/wire/startup.hpp"
#include "protocol/wire/startup_options.hpp"
#include "tests/fuzz/input.hpp"

namespace {

using namespace pgsluice;
using namespace pgsluice::protocol;

using answer = result<std::variant<need_more, complete_startup>>;

void look_into(const StartupMessage& startup) {
    std::string again;
    const auto parameters = startup.parameters();
    encode_startup(again, load_i32(as_bytes(startup.packet()).data() + 4), parameters);
    PGSLUICE_ASSERT(again == startup.packet());
    for (const auto& [name, value] : parameters) {
        PGSLUICE_ASSERT(startup.find(name).has_value());
        fuzz::touch(value);
    }
    fuzz::touch(startup.user());
    fuzz::touch(startup.database());
    for (const auto& [name, value] : settings_in_options(startup.options()))
        PGSLUICE_ASSERT(name.find('-') == std::string::npos);
    startup.wants_replication();
}

void look_into(const CancelRequest& cancel) {
    std::string again;
    encode_cancel_request(again, cancel.pid, as_bytes(cancel.key));
    PGSLUICE_ASSERT(again.size() == 12 + cancel.key.size());
}

void look_into(const SSLRequest&) {}
void look_into(const GSSENCRequest&) {}

bool same(const answer& one, const answer& other) {
    if (!one || !other)
        return !one && !other && one.error().message == other.error().message;
    const auto* a = std::get_if<complete_startup>(&*one);
    const auto* b = std::get_if<complete_startup>(&*other);
    return a != nullptr && b != nullptr && a->bytes_consumed == b->bytes_consumed &&
           a->packet.index() == b->packet.index();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::input in(data, size);
    std::size_t cut_hint = in.byte();
    cut_hint = cut_hint * 256 + in.byte();
    const fuzz::exact_block whole(in.rest());
    const answer full = parse_startup(whole.view());
    if (full && std::holds_alternative<complete_startup>(*full)) {
        const auto& done = std::get<complete_startup>(*full);
        PGSLUICE_ASSERT(done.bytes_consumed <= whole.view().size());
        std::visit([](const auto& packet) { look_into(packet); }, done.packet);
    }

    const fuzz::exact_block prefix(in.rest().first(cut_hint % (in.rest().size() + 1)));
    const answer early = parse_startup(prefix.view());
    if (early && std::holds_alternative<need_more>(*early)) {
        PGSLUICE_ASSERT(std::get<need_more>(*early).bytes_wanted > prefix.view().size());
    } else {
        PGSLUICE_ASSERT(same(early, full));
    }
    settings_in_options(as_text(in.rest()));
    return 0;
}
