// Opening a backend connection, logging in on it and running scripts on it: everything that talks
// to a backend outside the pump.

#include "proxy/leg.hpp"

#include "protocol/message_types.hpp"
#include "protocol/wire.hpp"

#include <cerrno>
#include <optional>
#include <stdexcept>

namespace pgsluice::proxy {

namespace {

constexpr std::size_t header_bytes = 5;
constexpr std::size_t read_bytes = 16 * 1024;
constexpr std::size_t login_message_bytes_max = 64 * 1024;
constexpr std::size_t script_message_bytes_max = 128 * 1024 * 1024;

struct whole_message {
    std::uint8_t type = 0;
    byte_view all;  ///< header and body
    byte_view body;
};

/// The message at the front of `bytes` once it is whole; sets `broken` when it never can be.
std::optional<whole_message> message_at(byte_view bytes, std::size_t bytes_max, bool& broken) {
    if (bytes.size() < header_bytes) {
        return std::nullopt;
    }
    const std::size_t length = protocol::load_u32(bytes.data() + 1);
    if (length < 4 || length > bytes_max) {
        broken = true;
        return std::nullopt;
    }
    if (bytes.size() < length + 1) {
        return std::nullopt;
    }
    return whole_message{
        bytes[0], bytes.first(length + 1), bytes.subspan(header_bytes, length + 1 - header_bytes)};
}

/// Appends what the socket has to `buffer`.
task<io_result>
read_more(stream& s, wait_point& point, std::vector<std::uint8_t>& buffer, steady_time deadline) {
    const std::size_t before = buffer.size();
    buffer.resize(before + read_bytes);
    const io_result r = co_await read_answer(s, point, std::span(buffer).subspan(before), deadline);
    buffer.resize(before + r.bytes);
    co_return r;
}

void record_status(leg& l, byte_view body) {
    protocol::reader fields(body);
    const auto name = fields.cstring();
    const auto value = fields.cstring();
    if (name && value) {
        l.reported.set(*name, *value);
    }
}

failure broken_login(const std::string& what) {
    return {
        .sqlstate = std::string(sqlstate::connection_failure),
        .message = "the connection to the backend was lost during login",
        .detail = what,
        .hint = {}};
}

/// What the server itself would say; 57014 is query_canceled.
failure no_answer_in_time() {
    return {
        .sqlstate = "57014",
        .message = "canceling authentication due to timeout",
        .detail = "the client did not answer the request for its credentials in time",
        .hint = {}};
}

std::string_view auth_name(std::int32_t request) {
    switch (request) {
    case 3:
        return "a cleartext password";
    case 5:
        return "an md5 password";
    case 7:
        return "GSSAPI";
    case 10:
        return "SASL (scram-sha-256)";
    default:
        return "an authentication that pgsluice does not know";
    }
}

bool expects_answer(std::int32_t request) {
    return request != 0 && request != 12;
}

/// The state of one login; a class only to keep its steps apart.
class login_run {
public:
    login_run(leg& l, wait_point& point, client_login* client, steady_time deadline)
        : leg_(l), point_(point), client_(client), deadline_(deadline) {}

    task<login_result> run(const protocol::StartupMessage& startup);

private:
    task<login_result> take(whole_message m);
    task<login_result> authenticate(whole_message m);
    task<login_result> relay_answer();
    task<bool> flush_client();
    void pass_on(byte_view bytes);
    void pass_key(whole_message m);

    leg& leg_;
    wait_point& point_;
    client_login* client_;
    steady_time deadline_;
    std::vector<std::uint8_t> buffer_;
    std::vector<std::uint8_t> for_client_;
    bool ready_ = false;
};

task<login_result> login_run::run(const protocol::StartupMessage& startup) {
    const io_result sent =
        co_await write_all(leg_.io, point_, protocol::as_bytes(startup.packet()), deadline_);
    if (!sent.done()) {
        co_return login_failure{broken_login(describe(sent))};
    }
    std::size_t at = 0;
    while (!ready_) {
        bool broken = false;
        const auto m = message_at(byte_view(buffer_).subspan(at), login_message_bytes_max, broken);
        if (broken) {
            co_return login_failure{broken_login("it sent bytes that are not the protocol")};
        }
        if (m) {
            auto taken = co_await take(*m);
            if (!taken) {
                co_return taken;
            }
            at += m->all.size();
            continue;
        }
        buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(at));
        at = 0;
        const bool flushed = co_await flush_client();
        if (!flushed) {
            co_return login_failure{.why = {}, .client_gone = true};
        }
        const io_result r = co_await read_more(leg_.io, point_, buffer_, deadline_);
        if (!r.done()) {
            co_return login_failure{broken_login(describe(r))};
        }
    }
    leg_.early.assign(buffer_.begin() + static_cast<std::ptrdiff_t>(at), buffer_.end());
    const bool flushed = co_await flush_client();
    if (!flushed) {
        co_return login_failure{.why = {}, .client_gone = true};
    }
    co_return login_result{};
}

task<login_result> login_run::take(whole_message m) {
    switch (m.type) {
    case protocol::backend::Authentication:
        co_return co_await authenticate(m);
    case protocol::backend::BackendKeyData:
        pass_key(m);
        co_return login_result{};
    case protocol::backend::ErrorResponse: {
        pass_on(m.all);
        bool told = false;
        if (client_ != nullptr) {
            told = co_await flush_client();
        }
        protocol::reader fields(m.body);
        failure why{std::string(sqlstate::connection_failure), "login refused", {}, {}};
        while (const auto code = fields.u8()) {
            const auto text = *code == 0 ? std::nullopt : fields.cstring();
            if (!text) {
                break;
            }
            (*code == 'C' ? why.sqlstate : *code == 'M' ? why.message : why.hint) = *text;
        }
        why.hint.clear();
        co_return login_failure{.why = std::move(why), .client_told = told};
    }
    case protocol::backend::ParameterStatus:
        record_status(leg_, m.body);
        break;
    case protocol::backend::ReadyForQuery:
        ready_ = true;
        break;
    default:
        break;
    }
    pass_on(m.all);
    co_return login_result{};
}

task<login_result> login_run::authenticate(whole_message m) {
    if (m.body.size() < 4) {
        co_return login_failure{broken_login("malformed Authentication message")};
    }
    const std::int32_t request = protocol::load_i32(m.body.data());
    if (request != 0) {
        leg_.asked_credentials = true;
    }
    if (client_ == nullptr && request != 0) {
        co_return login_failure{failure{
            "28000",
            "the backend asks for " + std::string(auth_name(request)) + ", which pgsluice has not",
            {},
            "let this user in with `trust` from the address of pgsluice"}};
    }
    pass_on(m.all);
    if (!expects_answer(request)) {
        co_return login_result{};
    }
    co_return co_await relay_answer();
}

/// One PasswordMessage, SASLInitialResponse, SASLResponse or GSSResponse from client to backend.
task<login_result> login_run::relay_answer() {
    const bool flushed = co_await flush_client();
    if (!flushed) {
        co_return login_failure{.why = {}, .client_gone = true};
    }
    auto& from_client = client_->early;
    bool broken = false;
    std::optional<whole_message> answer;
    while (!(answer = message_at(from_client, login_message_bytes_max, broken))) {
        if (broken) {
            co_return login_failure{failure{
                std::string(sqlstate::protocol_violation), "invalid password packet", {}, {}}};
        }
        const io_result r = co_await read_more(client_->io, point_, from_client, deadline_);
        if (r.error == ETIMEDOUT) {
            co_return login_failure{no_answer_in_time()};
        }
        if (!r.done()) {
            co_return login_failure{.why = {}, .client_gone = true};
        }
    }
    if (answer->type != protocol::frontend::PasswordMessage) {
        co_return login_failure{failure{
            std::string(sqlstate::protocol_violation),
            "expected a password message during authentication",
            {},
            {}}};
    }
    const io_result sent = co_await write_all(leg_.io, point_, answer->all, deadline_);
    const auto used = static_cast<std::ptrdiff_t>(answer->all.size());
    from_client.erase(from_client.begin(), from_client.begin() + used);
    if (!sent.done()) {
        co_return login_failure{broken_login(describe(sent))};
    }
    co_return login_result{};
}

void login_run::pass_key(whole_message m) {
    if (m.body.size() < 4) {
        return;
    }
    leg_.pid = protocol::load_i32(m.body.data());
    leg_.key = protocol::as_text(m.body.subspan(4));
    if (client_ != nullptr) {
        pass_on(protocol::as_bytes(client_->give_key(leg_.pid, leg_.key)));
    }
}

void login_run::pass_on(byte_view bytes) {
    if (client_ != nullptr) {
        for_client_.insert(for_client_.end(), bytes.begin(), bytes.end());
    }
}

task<bool> login_run::flush_client() {
    if (client_ == nullptr || for_client_.empty()) {
        co_return true;
    }
    const io_result r = co_await write_all(client_->io, point_, for_client_, deadline_);
    for_client_.clear();
    co_return r.done();
}

}  // namespace

void throw_exception_from_error(const login_failure& f, const boost::source_location& where) {
    pgsluice::throw_exception_from_error(f.why, where);
}

task<result<void>>
open_leg(leg& l, wait_point& point, const backend_target& target, milliseconds timeout_each) {
    std::string said;
    for (const endpoint& address : target.endpoints) {
        const io_result r =
            co_await connect_to(l.io, point, address, reactor::now() + timeout_each);
        if (r.done()) {
            l.address = address;
            co_return result<void>{};
        }
        if (!said.empty()) {
            said += "; ";
        }
        said += address.text + ": " + describe(r);
        if (r.error == ECANCELED) {
            break;
        }
    }
    co_return failure{
        std::string(sqlstate::cannot_connect_now),
        "backend \"" + target.name + "\" cannot be reached",
        std::move(said),
        {}};
}

task<login_result> log_in(
    leg& l,
    wait_point& point,
    const protocol::StartupMessage& startup,
    client_login* client,
    steady_time deadline
) {
    login_run run(l, point, client, deadline);
    co_return co_await run.run(startup);
}

namespace {

/// Sends what it can of `unsent` and waits until there is something to read.
task<io_result> exchange(
    leg& l,
    wait_point& point,
    byte_view& unsent,
    std::vector<std::uint8_t>& buffer,
    steady_time deadline
) {
    for (;;) {
        if (!unsent.empty()) {
            const io_result sent = l.io.send(unsent);
            if (sent.over()) {
                co_return sent;
            }
            unsent = unsent.subspan(sent.bytes);
        }
        const std::size_t before = buffer.size();
        buffer.resize(before + read_bytes);
        const io_result r = l.io.recv(std::span(buffer).subspan(before));
        buffer.resize(before + r.bytes);
        if (!r.again()) {
            co_return r;
        }
        wake_sink sink(point);
        l.io.watch(EPOLLIN | (unsent.empty() ? 0U : EPOLLOUT), &sink);
        const wake why = co_await point.until(deadline);
        l.io.rest();
        if (why != wake::event) {
            co_return io_result{
                io_result::status::failed, 0, why == wake::deadline ? ETIMEDOUT : ECANCELED};
        }
    }
}

}  // namespace

const stray_message ignore_stray = [](std::uint8_t, byte_view) {
};

task<result<script_outcome>> run_script(
    leg& l, wait_point& point, const script& s, steady_time deadline, const stray_message& stray
) {
    script_reader answers(s);
    byte_view unsent = protocol::as_bytes(s.bytes);
    std::vector<std::uint8_t> buffer = std::move(l.early);
    l.early.clear();
    std::size_t at = 0;
    bool broken = false;
    while (!answers.is_done()) {
        const auto m = message_at(byte_view(buffer).subspan(at), script_message_bytes_max, broken);
        if (m) {
            if (m->type == protocol::backend::ParameterStatus) {
                record_status(l, m->body);
            }
            const auto reply = answers.on_message(static_cast<char>(m->type), m->body);
            if (reply == script_reader::reply::not_mine) {
                stray(m->type, m->all);
            }
            at += m->all.size();
            continue;
        }
        buffer.erase(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(at));
        at = 0;
        io_result r{.what = io_result::status::end};
        if (!broken) {
            r = co_await exchange(l, point, unsent, buffer, deadline);
        }
        if (!r.done()) {
            l.dead = true;
            l.early = std::move(buffer);
            co_return failure{
                std::string(sqlstate::connection_failure),
                "lost the connection to " + l.address.text + " during a private exchange",
                describe(r),
                {}};
        }
    }
    l.early.assign(buffer.begin() + static_cast<std::ptrdiff_t>(at), buffer.end());
    co_return answers.take();
}

task<void> send_cancel(
    reactor& loop, endpoint address, std::int32_t pid, std::string key, steady_time deadline
) {
    stream io(loop);
    wait_point point(loop);
    const io_result connected = co_await connect_to(io, point, address, deadline);
    if (!connected.done()) {
        co_return;
    }
    std::string packet;
    protocol::encode_cancel_request(packet, pid, protocol::as_bytes(key));
    const io_result sent = co_await write_all(io, point, protocol::as_bytes(packet), deadline);
    if (!sent.done()) {
        co_return;
    }
    std::array<std::uint8_t, 16> nothing{};
    co_await read_some(io, point, nothing, deadline);  // the server closes when it has acted
}

}  // namespace pgsluice::proxy
