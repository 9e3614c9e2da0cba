// A session that talks to the service's console: never a backend, a place among the clients or the
// gate, so that it works while the service is full, paused or without a server.
//
//   may_ask -> prove_client -> welcome -> greeting -> converse

#include "protocol/console/console_dialogue.hpp"
#include "protocol/wire/message_types.hpp"
#include "protocol/wire/messages.hpp"
#include "proxy/model/operator_console.hpp"
#include "proxy/session/host.hpp"
#include "proxy/session/session.hpp"

#include <spdlog/spdlog.h>

#include <array>
#include <utility>
#include <vector>

namespace pgsluice::proxy {

namespace {

constexpr std::uint32_t consoles_max = 64;              // of one service at the same time
constexpr std::chrono::seconds take_answer_within{60};  // a client that does not read
constexpr std::chrono::seconds goodbye_time{2};
constexpr std::size_t read_bytes = 16 * 1024;
constexpr std::size_t key_bytes = 4;
constexpr unsigned minor_max = 2;  // protocol 3.2: longer cancel keys

bool is_loopback(const client_address& a) noexcept {
    static constexpr std::array<std::uint8_t, 16> six{
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    return a.is_local || a.bytes == six || (a.is_ipv4() && a.bytes[12] == 127);
}

failure not_allowed(std::string message, std::string detail) {
    return {
        std::string(sqlstate::invalid_authorization), std::move(message), std::move(detail), {}};
}

/// NegotiateProtocolVersion, if the client wants more than there is here.
void negotiate(std::string& out, const protocol::StartupMessage& startup) {
    std::vector<std::string_view> unknown;
    for (const protocol::startup_parameter& each : startup.parameters()) {
        if (each.name.starts_with("_pq_.")) {
            unknown.push_back(each.name);
        }
    }
    if (startup.minor() > minor_max || !unknown.empty()) {
        protocol::encode_negotiate_protocol_version(
            out, protocol::startup_code::StartupMessage32, unknown
        );
    }
}

/// Some drivers look at these before they send anything.
void encode_parameters(std::string& out, const std::string& version) {
    const std::pair<std::string_view, std::string_view> parameters[] = {
        {"server_version", version},
        {"server_encoding", "UTF8"},
        {"client_encoding", "UTF8"},
        {"DateStyle", "ISO"},
        {"TimeZone", "GMT"},
        {"integer_datetimes", "on"},
        {"standard_conforming_strings", "on"},
        {"is_superuser", "off"},
    };
    for (const auto& [name, value] : parameters) {
        protocol::encode_parameter_status(out, name, value);
    }
}

/// What a statement has come to so far.
struct said {
    std::string notices;  ///< encoded, not yet passed on
    std::optional<protocol::console_answer> answer;
};

}  // namespace

bool session::wants_console() const noexcept {
    return host_.settings().console && is_console_name(startup_->database()) &&
           !startup_->wants_replication();
}

/// Why this client is not even asked who it is, if it is not.
std::optional<failure>
session::refuse_console(const service_settings& settings, login_method method) const {
    const std::string console = "the console of service \"" + settings.name + "\"";
    if (!settings.console->from.contains(source_)) {
        return not_allowed(
            console + " cannot be reached from this address",
            "It can be reached from the addresses in console.from."
        );
    }
    if (method == login_method::passthrough) {
        return not_allowed(
            console + " needs a login that pgsluice checks itself",
            "With auth.method passthrough only a server could ask for the password."
        );
    }
    if (method == login_method::trust && !is_loopback(source_)) {
        return not_allowed(
            console + " trusts nobody but this machine",
            "Clients whose login is trust reach it over loopback or a unix socket."
        );
    }
    return std::nullopt;
}

task<void> session::serve_console() {
    is_console_ = true;
    const auto settings = host_.settings_snapshot();
    // Between this look at the settings and prove_client()'s own nothing else runs.
    if (auto refused = refuse_console(*settings, choose_login(*settings).method)) {
        login_failure what{.why = std::move(*refused)};
        co_await tell_login_failed(std::move(what), {});
        co_return;
    }
    const bool is_proven = co_await prove_client();
    if (!is_proven) {
        co_return;
    }
    known_ = {};
    looked_up_.reset();
    const operator_console::asker who{std::string(startup_->user()), address_};
    if (const auto welcome = settings->console->asked->welcome(who); !welcome) {
        login_failure what{.why = welcome.error()};
        co_await tell_login_failed(std::move(what), {});
        co_return;
    }
    has_console_place_ = host_.shared().try_open_console(consoles_max);
    if (!has_console_place_) {
        failure why{
            std::string(sqlstate::too_many_connections),
            "too many sessions on the console",
            {},
            {}};
        co_await tell_and_close(std::move(why));
        co_return;
    }
    leave_newcomers();
    spdlog::info(
        "console_opened service={} session={} user={} address={}",
        settings->name,
        id_,
        who.user,
        address_
    );
    co_await converse(settings->console->asked, who);
    if (!farewell_) {
        co_await close_politely(reactor::now() + goodbye_time);
    }
}

/// Everything after the login: the greeting, then statement by statement.
task<void> session::converse(std::shared_ptr<operator_console> asked, operator_console::asker who) {
    std::string out = std::exchange(owed_, {});
    negotiate(out, *startup_);
    protocol::encode_authentication_ok(out);
    encode_parameters(out, asked->version());
    out += give_key(static_cast<std::int32_t>(id_ & 0x7fffffff), std::string(key_bytes, '\0'));
    protocol::encode_ready_for_query(out, protocol::transaction_status::idle);
    protocol::console_dialogue dialogue([asked](std::string_view statement) {
        return asked->describe(statement);
    });
    dialogue.receive(early_);
    early_ = {};
    std::vector<std::uint8_t> bytes(read_bytes);
    for (;;) {
        const auto next = dialogue.advance();
        out += dialogue.take_output();
        const steady_time deadline = reactor::now() + take_answer_within;
        const io_result sent =
            co_await write_all(client_, wait_, protocol::as_bytes(out), deadline);
        out.clear();
        if (!sent.done() || farewell_ || next == protocol::console_dialogue::step::end) {
            co_return;
        }
        if (next == protocol::console_dialogue::step::run) {
            auto answer = co_await ask_console(asked, who, dialogue.statement());
            if (!answer) {
                co_return;
            }
            dialogue.answer(std::move(*answer));
            continue;
        }
        const io_result r = co_await read_some(client_, wait_, bytes, never);
        if (!r.done()) {
            co_return;
        }
        dialogue.receive(byte_view(bytes).first(r.bytes));
    }
}

/// Nothing when the session has to end. Whether the client is still there is seen when it is
/// answered: what an operator has begun is not interrupted by a connection that breaks.
task<std::optional<protocol::console_answer>> session::ask_console(
    std::shared_ptr<operator_console> asked, operator_console::asker who, std::string statement
) {
    const auto waiting = std::make_shared<said>();
    session_host* const here = &host_;
    const session_id me = id_;
    const auto hear = [waiting, here, me](const std::function<void(said&)>& what) {
        here->tell(me, [waiting, what] { what(*waiting); });
    };
    operator_console::listener to{
        .tell =
            [hear](failure notice) {
                hear([notice = std::move(notice)](said& all) {
                    protocol::encode_notice_response(all.notices, notice);
                });
            },
        .done =
            [hear](protocol::console_answer given) {
                hear([given = std::move(given)](said& all) { all.answer = given; });
            }};
    asked->run(who, statement, std::move(to));
    bool listens = true;
    while (!waiting->answer && !farewell_) {
        co_await wait_.until(never);
        const std::string notices = std::exchange(waiting->notices, {});
        if (listens && !notices.empty()) {
            const steady_time deadline = reactor::now() + take_answer_within;
            const io_result told =
                co_await write_all(client_, wait_, protocol::as_bytes(notices), deadline);
            listens = told.done();
        }
    }
    co_return std::move(waiting->answer);
}

}  // namespace pgsluice::proxy
