// How sessions are named to the operator when they are in the way.
#include "control/cutover/session_rows.hpp"

#include <fmt/format.h>

namespace pgsluice::control {

namespace {

constexpr std::size_t rows_max = 20;
constexpr std::size_t query_bytes_max = 60;

std::string one_line(std::string text) {
    for (char& c : text) {
        c = c < ' ' && c >= '\0' ? ' ' : c;
    }
    if (text.size() <= query_bytes_max) {
        return text;
    }
    std::size_t end = query_bytes_max;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) {
        --end;  // not within a UTF-8 character
    }
    return text.substr(0, end) + "...";
}

std::string_view in_words(proxy::session_phase phase) {
    switch (phase) {
    case proxy::session_phase::login:
        return "logging in";
    case proxy::session_phase::active:
        return "in a statement";
    case proxy::session_phase::in_transaction:
        return "in a transaction";
    case proxy::session_phase::startup:
    case proxy::session_phase::held:
    case proxy::session_phase::idle:
    case proxy::session_phase::parked:
    case proxy::session_phase::moving:
        break;
    }
    return "idle";
}

std::string describe(const proxy::session_info& session) {
    std::string row = fmt::format(
        "session {} (pid {}, user {}, database {}, application {}, from {})",
        session.id,
        session.backend_pid,
        session.user,
        session.database,
        session.application.empty() ? "-" : one_line(session.application),
        session.address
    );
    for (const proxy::pin_reason& pin : session.pins) {
        row += fmt::format(" {}: {};", pin.code, one_line(pin.text));
    }
    if (!session.pins.empty()) {
        row.pop_back();
        return row;
    }
    const double seconds = std::chrono::duration<double>(session.phase_age).count();
    row += fmt::format(" {} for {:.1f} s", in_words(session.phase), seconds);
    if (!session.query.empty()) {
        row += ", last: " + one_line(session.query);
    }
    return row;
}

}  // namespace

bool blocks_drain(const proxy::session_info& session) {
    switch (session.phase) {
    case proxy::session_phase::login:
    case proxy::session_phase::idle:
    case proxy::session_phase::active:
    case proxy::session_phase::in_transaction:
        return true;
    case proxy::session_phase::startup:
    case proxy::session_phase::held:
    case proxy::session_phase::parked:
    case proxy::session_phase::moving:
        return false;
    }
    return false;
}

bool has_pins(const proxy::session_info& session) {
    return !session.pins.empty();
}

std::vector<std::string> session_rows(
    std::span<const proxy::session_info> sessions, bool (*wanted)(const proxy::session_info&)
) {
    std::vector<std::string> rows;
    std::size_t more = 0;
    for (const proxy::session_info& session : sessions) {
        if (!wanted(session)) {
            continue;
        }
        if (rows.size() == rows_max) {
            ++more;
        } else {
            rows.push_back(describe(session));
        }
    }
    if (more > 0) {
        rows.push_back("and " + std::to_string(more) + " more");
    }
    return rows;
}

}  // namespace pgsluice::control
