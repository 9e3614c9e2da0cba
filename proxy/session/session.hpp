#pragma once

#include "protocol/auth/credentials.hpp"
#include "protocol/auth/userlist.hpp"
#include "protocol/wire/proxy_header.hpp"
#include "protocol/wire/startup.hpp"
#include "proxy/access/address_set.hpp"
#include "proxy/access/login_rules.hpp"
#include "proxy/image/movability.hpp"
#include "proxy/image/pins.hpp"
#include "proxy/image/session_image.hpp"
#include "proxy/image/type_map.hpp"
#include "proxy/leg/leg.hpp"
#include "proxy/leg/login.hpp"
#include "proxy/model/drain_filter.hpp"
#include "proxy/model/farewell.hpp"
#include "proxy/model/operator_console.hpp"
#include "proxy/model/service_settings.hpp"
#include "proxy/model/session_info.hpp"
#include "proxy/relay/pump.hpp"
#include "proxy/session/refusal.hpp"

#include <boost/asio/cancellation_signal.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pgsluice::proxy {

class session_host;

/// How far a session is with the standing move order.
enum class move_stage : std::uint8_t {
    none,       ///< no order, or nothing done for it
    queued,     ///< has to be captured; waits for a boundary and for its turn
    granted,    ///< its turn: parks, then is captured
    preparing,  ///< the spare is being brought to the captured state
    prepared,   ///< the spare carries the state last captured
    settled,    ///< parked with the gate closed, and the spare is its exact copy
    pinned,     ///< captured, and cannot be moved
    unready,    ///< the new backend refused it
    switched,   ///< on the new backend
};

/// How far a session is with a fresh connection of its own backend.
enum class reconnect_stage : std::uint8_t {
    none,
    due,      ///< waits for a boundary and for its turn
    granted,  ///< its turn: parks, then moves
    stays,    ///< could not be moved; the reasons are its pins
};

/// The connection a session is going to move to, kept beside its leg until the switch.
struct spare_leg {
    explicit spare_leg(reactor& r) : line(std::make_unique<leg>(r)), point(r) {}

    std::unique_ptr<leg> line;
    wait_point point;                    ///< of whoever works on the spare
    std::optional<session_image> image;  ///< the old leg's image that `line` has been brought to
    std::string unnamed_parse;           ///< and the unnamed statement
    script after_promotion;              ///< what a hot standby would not take
    bool has_private_statements = false;
};

/// One client's life: startup, the gate, login, then a loop of legs. The coroutine frame of run()
/// owns everything; its host keeps a reference while it lives. One thread: its worker's.
///
/// The stages of a move run in two coroutines: the session's own, which has the old leg (capture,
/// switch), and build_spare(), which has the spare and may run while the client is being served.
class session final : public pump_owner, public name_listener, public io_sink {
public:
    /// The connection counts as a stranger already.
    session(session_host& home, session_id id, int client, const endpoint& from);
    /// Goes on with the client of `arrived`, which has nothing left but to end. It has its startup
    /// behind it, and counts as a stranger already.
    session(session_host& home, session& arrived);
    ~session();

    /// Before run(), of a new connection.
    void come_in_by(std::shared_ptr<const entrance> in) { entrance_ = std::move(in); }

    /// The whole life. Ends when the client is gone or was told why it has to go.
    task<void> run();

    session_id id() const noexcept { return id_; }
    session_phase phase() const noexcept;
    session_info info() const;
    const traffic& counted() const noexcept { return pump_.counted(); }
    move_stage stage() const noexcept { return stage_; }
    const leg* current_leg() const noexcept { return leg_.get(); }
    const spare_leg* spare() const noexcept { return spare_.get(); }
    bool at_rest() const noexcept;  ///< could be parked at once
    bool ending() const noexcept { return ending_; }
    bool waits() const noexcept;
    steady_time waiting_since() const noexcept { return waiting_since_; }
    bool switching() const noexcept { return switching_; }
    /// Its new connection still lacks something that others could miss: nobody may work yet.
    bool crossing() const noexcept { return switching_ && crossing_; }
    /// The old server has something for it that it was not asked for yet.
    bool waits_to_ask() const noexcept;
    void ask_old_server();
    bool held_back() const noexcept { return held_back_; }
    /// Whatever its client sends next writes nothing.
    bool is_guarded() const noexcept { return pump_.guarded() || (leg_ && leg_->is_restricted); }
    bool has_turn() const noexcept { return has_turn_; }
    bool awaits_reconnect() const noexcept {
        return reconnect_ == reconnect_stage::due || reconnect_ == reconnect_stage::granted;
    }
    bool is_to_reconnect() const noexcept { return reconnect_ != reconnect_stage::none; }
    bool is_draining() const noexcept { return drained_with_.has_value(); }
    /// It is not where the canary wants it, or has not the login it should have, and is on its way;
    /// or it still has to be guarded there.
    bool is_following() const noexcept;
    /// Talks to the console; in its startup phase to everybody else.
    bool is_console() const noexcept { return is_console_; }
    /// Has to park or to stay parked: by the gate, the admitted set or a drain's first pass.
    bool is_held() const noexcept;
    bool works_since_before(steady_time t) const noexcept;
    bool has_private_statements() const noexcept { return has_private_statements_; }

    // --- from the host ---------------------------------------------------------------------
    void gate_closed();
    void gate_opened();  ///< go_on() follows
    /// The admitted set is another one. True if the session came in: go_on() has to follow.
    bool look_up();
    void go_on();  ///< unless something else holds it
    /// Parks at its next boundary if its work takes, or has lately taken, that long.
    void hold_if_long(steady_time now, milliseconds threshold);
    /// Whether it is one of them; it ends at its next boundary, unless end_drain() comes before.
    bool drain(const drain_filter& which, const farewell& last_words);
    void end_drain();
    /// True if it is to have a fresh connection from now on: grant_reconnect() follows.
    bool reconnect();
    void grant_reconnect();  ///< its turn
    void place_changed();    ///< the canary or the forced access is another one
    void read_load();        ///< into the sum of the backend that it is on, as long as there is one
    void order_given();
    /// Queues it to be captured again if it has done something since; true if it has.
    bool refresh();
    void order_ended();
    void grant();        ///< its turn to be captured
    void switch_over();  ///< the route has changed: go to the spare, or end
    void tidy();         ///< parks once to close the private statements
    void terminate(const farewell& last_words);
    void cancel_request();  ///< a CancelRequest with this session's key came
    void notify() { wait_.notify(); }

    // --- from the pump ----------------------------------------------------------------------
    void on_parked() override;
    void on_pump_end() override;
    void on_client_waits() override;
    void on_parameter_status(std::string_view name, std::string_view value) override;
    void learn(std::string_view custom_setting) override;

private:
    // source.cpp: where the client comes from
    task<bool> find_source();
    task<bool> read_proxy_header();
    void come_from(const protocol::proxied_client& client);
    void show_address();
    std::string preface_for(const backend_target& target) const;

    // entrance.cpp: which service the client is meant for
    task<bool> find_service();
    session_host* service_meant() const;

    // session_startup.cpp: TLS, and what the client wants
    task<bool> start_up();
    task<bool> answer_startup(const protocol::startup_packet& packet);
    bool may_use_tls() const noexcept;
    bool lacks_tls() const noexcept;
    task<bool> answer_encryption(bool accepts);
    task<bool> begin_tls(steady_time deadline);
    task<bool> begin_direct_tls(steady_time deadline);
    task<void> refuse_startup(std::string what);
    task<void> forward_cancel(protocol::CancelRequest request);

    // session.cpp: the client's way in and out
    task<bool> arrive();
    task<bool> take_place();
    task<bool> pass_gate();
    bool is_refused() const noexcept;
    task<void> relay();
    task<void> wind_up();
    std::optional<failure> parting_words() const;
    task<void> tell_and_close(failure why);
    task<void> close_politely(steady_time deadline);
    void on_io(std::uint32_t events) override;  // the client, while it is held in startup

    // session_limits.cpp: what is ignored from an address for a while
    bool may_cancel() const;
    void count_unknown_cancel();
    bool may_log_in() const;
    void count_failed_login(const failure& why);
    task<bool> join_newcomers();
    void leave_newcomers();

    // session_login.cpp: who the client is, to the proxy and to its backend
    task<bool> prove_client();
    std::optional<failure> refuse_login(const login_rules::verdict& how) const;
    std::optional<failure> refuse_by_name(const login_rules::verdict& how) const;
    std::optional<failure> refuse_by_certificate(client_certificate needed) const;
    login_rules::verdict choose_login(const service_settings& settings) const;
    task<bool> log_in_client();
    void remember_login(
        const service_settings& settings,
        const protocol::user_secret* listed,
        const protocol::scram_observer* observer
    );
    void recall_keys(const std::string& user, std::uint32_t backend, protocol::credentials& known);
    void
    keep_keys(const std::string& user, std::uint32_t backend, const protocol::credentials& known);
    /// Who the session is to a backend that has a login of its own for all of them, or a database
    /// of another name.
    struct stand_in {
        protocol::StartupMessage startup;
        protocol::credentials known;
        bool is_fixed = true;  ///< nobody but the backend's own login; else the client's
    };
    std::optional<stand_in>
    stand_in_at(const service_settings& settings, std::uint32_t backend, bool is_restricted) const;
    task<void> tell_login_failed(login_failure what, std::string where);
    task<bool> connect_leg(std::shared_ptr<const service_settings> settings);
    std::string login_user_of(const leg& l) const;
    task<bool> look_up_secret(std::shared_ptr<const service_settings> settings);
    const protocol::user_secret* listed_secret(const service_settings& settings) const;
    std::string give_key(std::int32_t pid, const std::string& real_key);
    bool lacks_credentials() const noexcept { return asked_credentials_ && known_.empty(); }

    // console_session.cpp: a client of the console
    bool wants_console() const noexcept;
    std::optional<failure>
    refuse_console(const service_settings& settings, login_method method) const;
    task<void> serve_console();
    task<void> converse(std::shared_ptr<operator_console> asked, operator_console::asker who);
    task<std::optional<protocol::console_answer>> ask_console(
        std::shared_ptr<operator_console> asked, operator_console::asker who, std::string statement
    );

    // hold.cpp: at a boundary
    task<void> while_parked();
    task<bool> act_at_boundary();
    task<void> leave_boundary();
    task<void> wait_parked();
    void note_hold();
    hold_reason held_by() const noexcept;
    steady_time next_hold_deadline() const;

    // session_place.cpp: which backend is the session's, and with which login
    struct place {
        std::uint32_t backend = 0;  ///< index into service_settings::backends
        bool is_canary = false;
        bool is_read_only = false;
        bool is_restricted = false;
    };
    place place_now() const noexcept;
    place place_of(const leg& l) const noexcept;
    void look_up_canary() noexcept;
    bool is_elsewhere() const noexcept;
    bool is_misplaced() const noexcept;
    bool has_other_login() const noexcept;
    void follow_place();
    task<bool> connect_canary(std::shared_ptr<const service_settings> settings);
    load_side side() const noexcept;
    void count_turned_back();

    // session_guard.cpp: forced read-only
    bool must_be_guarded() const noexcept;
    bool guard_due() const noexcept;
    task<void> change_guard();
    task<void> give_unnamed_back();
    task<result<script_outcome>> ask_backend(script ask);
    task<bool> tell_guard_statements(protocol::read_only_guard& guard);
    std::unique_ptr<protocol::read_only_guard> new_guard() const;
    void guard_from_start();
    protocol::text_rules text_rules_now() const;

    // transplant.cpp: to another leg
    task<void> capture_for_order();
    task<result<session_image>> capture();
    task<void> build_spare(std::uint64_t order_id);
    task<std::vector<pin_reason>>
    prepare_spare(spare_leg& s, std::uint32_t backend, bool in_recovery);
    task<std::vector<pin_reason>> log_in_spare(spare_leg& s, std::uint32_t backend);
    task<std::vector<pin_reason>>
    replay_on(spare_leg& s, const session_image& image, bool in_recovery);
    task<result<oid_map>> map_types(spare_leg& s, const session_image& image);
    task<std::vector<pin_reason>> verify_spare(spare_leg& s, const session_image& image);
    wire_knowledge what_the_wire_tells() const;
    bool spare_is_current() const;
    void pin_down(std::vector<pin_reason> why, move_stage as);
    void start_building();
    void drop_spare() noexcept;
    void release_turn() noexcept;

    // session_reconnect.cpp: to another connection, of the same backend or for the canary
    task<std::vector<pin_reason>> move_in_place(place to);
    task<std::vector<pin_reason>> move_to_fresh_leg(place to);
    task<void> renew_leg();

    // switch.cpp: the last steps, after which there is no way back
    task<void> go_over();
    bool asks_old_server() const noexcept;
    task<result<script_outcome>> run_on_spare(script s);
    task<result<void>> finish_replay();
    task<result<void>> carry_lock_counts();
    task<void> carry_notifications(bool same_server);
    task<void> hear_out();
    void adopt_spare();
    task<void> close_private_statements();
    void pass_on_early();
    stray_message pass_to_client();

    session_host& host_;
    const session_id id_;
    std::unique_ptr<stream> own_client_;  ///< null when another session has taken it over
    stream& client_;
    std::string address_;
    client_address source_;
    std::shared_ptr<const entrance> entrance_;  ///< never null from come_in_by() on
    const steady_time born_;
    wait_point wait_;
    std::optional<protocol::StartupMessage> startup_;
    std::vector<std::uint8_t> early_;  ///< client bytes read ahead of the relay
    std::unique_ptr<leg> leg_;
    pump pump_;
    parameter_set client_sees_;  ///< what the client was told by ParameterStatus

    std::string cancel_secret_;
    std::int32_t client_pid_ = 0;
    bool has_key_ = false;

    move_stage stage_ = move_stage::none;
    reconnect_stage reconnect_ = reconnect_stage::none;
    std::unique_ptr<spare_leg> spare_;
    std::optional<session_image> image_;   ///< as last captured
    std::uint64_t captured_requests_ = 0;  ///< pump_.requests() then
    std::vector<pin_reason> pins_;
    std::uint64_t moves_ = 0;
    boost::asio::cancellation_signal stop_building_;

    session_phase early_phase_ = session_phase::startup;
    steady_time waiting_since_{};
    bool inside_;             ///< source_ is in the admitted set, as last looked up
    bool in_canary_ = false;  ///< source_ is in the canary's set, as last looked up
    bool strays_ = false;     ///< was to move, or could not, because of its place
    bool held_back_ = false;  ///< parks although the gate is open: hold_if_long()
    std::optional<farewell> farewell_;
    std::optional<farewell> drained_with_;  ///< what it is told at its next boundary
    bool stranger_ = true;                  ///< see service::try_greet()
    bool is_newcomer_ = false;              ///< counts against limits.unauthenticated
    bool is_console_ = false;
    bool has_console_place_ = false;  ///< counts against the consoles of its service
    bool has_place_ = false;          ///< counts against max_connections
    std::shared_ptr<const protocol::user_list> looked_up_;  ///< the client's own, or empty
    protocol::credentials known_;      ///< what the client can be logged in with again
    std::string owed_;                 ///< the end of its login, which it has not been told yet
    bool answers_for_client_ = false;  ///< with `known_`; else the backend asks the client
    bool asked_credentials_ = false;
    bool is_proven_ = false;  ///< the proxy itself has let the client in
    bool lexing_changed_ = false;
    bool client_hung_up_ = false;
    bool noticed_ = false;      ///< was told that it is being held
    bool building_ = false;     ///< build_spare() runs
    bool has_turn_ = false;     ///< counts against the host's turns
    bool switching_ = false;    ///< between switch_over() and its end
    bool crossing_ = false;     ///< the first part of that
    bool may_ask_ = false;      ///< the second part may begin
    bool has_heard_ = false;    ///< of it: the notifications are passed on, no more can come
    bool in_exchange_ = false;  ///< the old leg is in a private exchange
    bool switch_due_ = false;
    bool tidy_due_ = false;
    bool has_private_statements_ = false;
    bool ending_ = false;
};

}  // namespace pgsluice::proxy
