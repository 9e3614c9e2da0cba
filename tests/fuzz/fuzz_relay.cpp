// Whole sessions through the pump itself, over sockets in memory: whatever both sides say, in
// whatever pieces it is read and taken, while the gate closes and opens and the session moves. What
// comes out on either side has to be what relay_model, which cuts messages one by one, says, and
// the session has to be parked exactly where it is. The first byte chooses what the server is:
// arbitrary bytes, or the model server of the unit tests, which then may owe nothing where the
// session is parked.

#include "proxy/relay/pump.hpp"
#include "tests/fuzz/input.hpp"
#include "tests/fuzz/memory_socket.hpp"
#include "tests/fuzz/relay_model.hpp"
#include "tests/unit/protocol/guard/model_server.hpp"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace pgsluice;
using namespace pgsluice::proxy;
using fuzz::memory_socket;
using protocol::model_server;

constexpr std::string_view client_types = "QPBDECSHFdcfXSSQQE";
constexpr std::string_view server_types = "ZZZTDC123tnNASGHWVsIdcE";
constexpr std::int32_t client_pid = 4711;
constexpr std::uint32_t gives = EPOLLIN | EPOLLRDHUP;  // there is something to read
constexpr std::uint32_t takes = EPOLLOUT;

std::string message(char type, std::string_view body) {
    std::string whole;
    protocol::writer out(whole);
    out.begin_message(type);
    out.bytes(protocol::as_bytes(body));
    out.end_message();
    return whole;
}

/// What the model server says, as bytes.
std::string message(const protocol::model_answer& answer, std::int32_t pid) {
    std::string body;
    protocol::writer out(body);
    switch (answer.type) {
    case protocol::backend::ReadyForQuery:
        out.u8(static_cast<std::uint8_t>(answer.status));
        break;
    case protocol::backend::NotificationResponse:
        out.i32(pid);
        body.append("c\0p\0", 4);
        break;
    case protocol::backend::ParameterStatus:
        body.append("name\0value\0", 11);
        break;
    default:
        body.assign(3, 'b');
        break;
    }
    return message(answer.type, body);
}

/// Hears of everything and does nothing: what a session would do is the input's choice.
struct observer final : pump_owner, name_listener {
    std::vector<std::pair<std::string, std::string>> statuses;

    void on_parked() override {}
    void on_pump_end() override {}
    void on_client_waits() override {}
    void on_parameter_status(std::string_view name, std::string_view value) override {
        statuses.emplace_back(name, value);
    }
    void learn(std::string_view) override {}
};

class relay_run {
public:
    explicit relay_run(fuzz::input& in)
        : in_(in), setup_(in.byte()), scratch_(16 + in.byte() % 100), move_every_(setup_ / 4U % 4U),
          model_(move_every_, client_pid), client_(loop()),
          pump_(client_, scratch_, heard_, heard_) {
        fuzz::forget_sockets();
        client_.adopt(0);
        new_backend();
        pump_.set_move_every(move_every_);
        pump_.start(*backend_, client_pid, backend_pid());
    }

    void run() {
        while (!in_.empty() && is_alive()) {
            act(in_.byte());
            check();
        }
        wind_up();
    }

private:
    static reactor& loop() {
        static reactor never_runs;
        return never_runs;
    }

    memory_socket& client() { return fuzz::socket_of(0); }
    memory_socket& backend() { return fuzz::socket_of(leg_); }
    bool is_alive() const { return pump_.end() == pump_end::none; }
    bool is_served() const { return server_.has_value(); }
    std::int32_t backend_pid() const { return setup_ % 4 == 0 ? client_pid : client_pid + leg_; }

    void new_backend() {
        ++leg_;
        began_at_ = model_.to_backend.size();
        backend_ = std::make_unique<stream>(loop());
        backend_->adopt(leg_);
        model_.move_to(static_cast<std::uint32_t>(backend_pid()));
        if (setup_ % 2 == 1) {
            server_.emplace(setup_);
            understood_ = 0;
        }
    }

    void act(std::uint8_t what) {
        switch (what % 16) {
        case 0:
        case 1:
            client_says();
            break;
        case 2:
            if (is_served()) {
                client_says();
            } else {
                say_anything(client());
            }
            break;
        case 3:
        case 4:
            server_says();
            break;
        case 5:
            if (is_served()) {
                server_says();
            } else {
                say_anything(backend());
            }
            break;
        case 6:
        case 7:
            read(client(), in_.byte());
            break;
        case 8:
        case 9:
            read(backend(), in_.byte());
            break;
        case 10:
            take(client(), in_.byte());
            break;
        case 11:
            take(backend(), in_.byte());
            break;
        case 12:
            close_or_open();
            break;
        case 13:
            move();
            break;
        case 14:
            client().peer_closed = client().peer_closed || in_.byte() == 1;
            break;
        default:
            backend().peer_closed = backend().peer_closed || (!is_served() && in_.byte() == 1);
            break;
        }
    }

    std::string body(std::size_t size) {
        std::string bytes;
        while (bytes.size() < size && bytes.size() < 40) {
            bytes.push_back(static_cast<char>(in_.byte()));
        }
        bytes.resize(size, 'x');
        return bytes;
    }

    void say_anything(memory_socket& from) { from.to_read += body(in_.byte() % 40); }

    void client_says() {
        const char type = client_types[in_.byte() % client_types.size()];
        if (!is_served()) {
            const std::size_t size = in_.byte();
            client().to_read += message(type, body(size > 200 ? size * 5 : size % 50));
            return;
        }
        constexpr std::string_view statements = "sbcx0oivre";
        const std::uint8_t what = in_.byte();
        std::string plan(1, statements[what % statements.size()]);
        if (type == 'Q') {
            plan += statements[what / 16 % statements.size()];
        }
        client().to_read += message(type, plan + std::string(what % 64, ' '));
    }

    void server_says() {
        if (!is_served()) {
            const char type = server_types[in_.byte() % server_types.size()];
            const std::size_t size = in_.byte();
            backend().to_read += message(type, body(size > 200 ? size * 5 : size % 30));
            return;
        }
        hear_client();
        server_->step();
        for (; !server_->output.empty(); server_->output.pop_front()) {
            backend().to_read += message(server_->output.front(), backend_pid());
        }
        backend().peer_closed = backend().peer_closed || server_->dead();
    }

    /// Cuts what the backend's socket has got into messages for the model server.
    void hear_client() {
        for (;;) {
            const std::string_view rest = std::string_view(backend().sent).substr(understood_);
            if (rest.size() < 5) {
                return;
            }
            const std::size_t length = protocol::load_u32(protocol::as_bytes(rest).data() + 1);
            if (rest.size() < length + 1) {
                return;
            }
            std::string plan(rest.substr(5, length - 4));
            plan.erase(plan.find_last_not_of(' ') + 1);
            if (rest[0] == protocol::frontend::Terminate) {
                backend().peer_closed = true;
            } else {
                server_->input.push_back({rest[0], plan});
            }
            understood_ += length + 1;
        }
    }

    void read(memory_socket& from, std::uint8_t at_most) {
        from.read_max = at_most == 255 ? memory_socket::unlimited : at_most + 1U;
        from.deliver(gives);
    }

    void take(memory_socket& by, std::uint8_t bytes) {
        by.room = bytes == 255 ? memory_socket::unlimited : bytes;
        by.deliver(takes);
    }

    void close_or_open() {
        if (pump_.closing()) {
            pump_.open();
            model_.open();
        } else {
            pump_.close();
            model_.close();
        }
    }

    /// To another backend, as a session does with its spare.
    void move() {
        if (!pump_.parked() || pump_.is_inside_backend_message() ||
            leg_ + 1 == fuzz::memory_sockets_max) {
            return;
        }
        PGSLUICE_ASSERT(backend().sent.size() == model_.to_backend.size() - began_at_);
        pump_.lend_backend();
        PGSLUICE_ASSERT(backend().events == 0);
        backend().to_read.clear();
        new_backend();
        pump_.give_back(*backend_, backend_pid());
    }

    void check() {
        if (!client().just_read.empty()) {
            model_.read_from_client(std::exchange(client().just_read, {}));
        }
        if (!backend().just_read.empty()) {
            model_.read_from_backend(std::exchange(backend().just_read, {}));
        }
        if (client().saw_end) {
            model_.client_ended();
        }
        check_due(backend(), std::string_view(model_.to_backend).substr(began_at_), checked_out_);
        check_due(client(), model_.to_client, checked_in_);
        PGSLUICE_ASSERT(heard_.statuses == model_.statuses);
        if (!is_alive()) {
            model_.settle(true);
            return;
        }
        if (backend().saw_end || model_.is_broken()) {
            return;  // it lives on until the client has taken everything
        }
        const bool is_flushed = !backend().is_watched_for(takes);
        model_.settle(is_flushed);
        const auto& state = pump_.state();
        PGSLUICE_ASSERT(state.at_boundary() == model_.state().at_boundary());
        PGSLUICE_ASSERT(state.ready_owed() == model_.state().ready_owed());
        PGSLUICE_ASSERT(pump_.requests() == model_.requests());
        PGSLUICE_ASSERT(pump_.boundaries() == model_.boundaries());
        PGSLUICE_ASSERT(pump_.is_inside_backend_message() == !model_.is_between_backend_messages());
        PGSLUICE_ASSERT(pump_.parked() == model_.is_parked());
        if (pump_.parked()) {
            PGSLUICE_ASSERT(is_flushed);
            if (is_served()) {
                hear_client();
                PGSLUICE_ASSERT(server_->quiet() && owes_nothing());
            }
        }
    }

    /// What the model server has said and was not read are messages that come at any time.
    bool owes_nothing() {
        std::string_view unread = backend().to_read;
        if (pump_.is_inside_backend_message()) {
            return true;
        }
        while (!unread.empty()) {
            if (std::string_view("NSA").find(unread[0]) == std::string_view::npos) {
                return false;
            }
            unread.remove_prefix(protocol::load_u32(protocol::as_bytes(unread).data() + 1) + 1);
        }
        return true;
    }

    /// Nothing but what is due, and all of it unless the socket has to take more first.
    void check_due(const memory_socket& at, std::string_view due, std::size_t& checked) {
        checked = std::min(checked, at.sent.size());  // another leg
        PGSLUICE_ASSERT(at.sent.size() <= due.size());
        PGSLUICE_ASSERT(
            std::string_view(at.sent).substr(checked) ==
            due.substr(checked, at.sent.size() - checked)
        );
        checked = at.sent.size();
        const bool takes_all = is_alive() && !at.is_watched_for(takes) && !at.saw_end;
        PGSLUICE_ASSERT(!takes_all || model_.is_broken() || at.sent.size() == due.size());
    }

    /// Everything is read and taken, nothing is held back: then nothing may be missing.
    void wind_up() {
        for (bool goes_on = true; goes_on && is_alive();) {
            goes_on = false;
            for (memory_socket* each : {&client(), &backend()}) {
                each->read_max = memory_socket::unlimited;
                each->room = memory_socket::unlimited;
                for (const std::uint32_t what : {takes, gives}) {
                    if (is_alive() && each->deliver(what)) {
                        goes_on = true;
                        check();
                    }
                }
            }
            if (is_alive() && pump_.closing()) {
                close_or_open();
                check();
                goes_on = true;
            }
        }
        if (is_alive()) {
            check_complete();
        } else {
            check_end();
        }
    }

    void check_complete() {
        PGSLUICE_ASSERT(backend().sent.size() == model_.to_backend.size() - began_at_);
        PGSLUICE_ASSERT(client().sent.size() == model_.to_client.size());
        if (model_.is_leaving()) {
            return;  // behind Terminate nothing more is read
        }
        if (model_.is_refused() || client().saw_end) {
            PGSLUICE_ASSERT(backend().was_shut);
        } else {
            PGSLUICE_ASSERT(client().to_read.empty() && model_.waits().size() < 5);
        }
    }

    void check_end() {
        switch (pump_.end()) {
        case pump_end::client_gone:
            PGSLUICE_ASSERT(
                model_.has_left() || client().peer_closed || backend().peer_closed ||
                model_.is_broken() || client().to_read.starts_with('X')
            );
            break;
        case pump_end::backend_gone:
            PGSLUICE_ASSERT(backend().saw_end || model_.is_broken());
            PGSLUICE_ASSERT(client().sent.size() == model_.to_client.size());
            break;
        default:
            PGSLUICE_ASSERT(model_.is_refused());
            PGSLUICE_ASSERT(client().sent.size() == model_.to_client.size());
            break;
        }
    }

    fuzz::input& in_;
    const std::uint8_t setup_;
    std::vector<std::uint8_t> scratch_;
    const std::uint32_t move_every_;
    int leg_ = 0;
    fuzz::relay_model model_;
    observer heard_;
    stream client_;
    std::unique_ptr<stream> backend_;
    pump pump_;
    std::optional<model_server> server_;
    std::size_t understood_ = 0;  ///< of what this backend has got
    std::size_t began_at_ = 0;    ///< this backend's part of model_.to_backend
    std::size_t checked_out_ = 0;
    std::size_t checked_in_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::input in(data, size);
    relay_run(in).run();
    return 0;
}
