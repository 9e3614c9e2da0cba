#pragma once

#include "control/commands/outcome.hpp"
#include "control/commands/request.hpp"
#include "control/config/config.hpp"
#include "control/cutover/runner.hpp"
#include "control/journal/journal.hpp"
#include "control/journal/service_state.hpp"
#include "control/postgres/pg_client.hpp"
#include "control/postgres/table_locks.hpp"
#include "control/service/engine_traffic.hpp"

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace pgsluice::control {

/// Makes the two servers' side of a cutover; see cutover_world.hpp.
using server_pair_maker = std::function<std::unique_ptr<server_pair>(
    const service_config&, const backend_config& from, const backend_config& to
)>;

class server_fence;
class stages_run;
struct stages_plan;

/// A step that failed, as the answer to a command.
outcome outcome_of(const step_failure& why);

/// The operations of one service: at most one at a time, each on the thread that asks for it.
/// status() and the two interruptions come in from other threads meanwhile.
class service_operations {
public:
    using config_pointer = std::shared_ptr<const service_config>;

    /// What the service needs of the daemon; all of it outlives the service.
    struct surroundings {
        proxy::engine& engine;
        journal& log;
        server_pair_maker servers;
    };

    /// `fences`: what the journal knows of those that earlier cutovers left; `previous`: the
    /// backend that the last cutover left, empty when there was none.
    service_operations(
        surroundings around,
        std::size_t id,
        config_pointer settings,
        mode initial,
        fence_memories fences = {},
        std::string previous = {},
        read_only_record read_only = {},
        step_times times = {},
        bool takes_clients = true,
        canary_record canary = {}
    );

    std::string name() const { return settings()->name; }
    config_pointer settings() const;

    outcome pause(const request& given, const progress_sink& tell);
    outcome resume(const std::string& by = {});
    outcome retarget(const request& given, const progress_sink& tell);
    outcome cutover(const request& given, const progress_sink& tell);
    outcome rollback(const request& given, const progress_sink& tell);
    outcome preflight(const request& given, const progress_sink& tell);
    /// Ends the operation that runs; where none does, the stages that are under way.
    outcome abort(const std::string& by = {});
    /// A set, a run of stages, or what to do with the one under way. Refused while another
    /// operation runs; a pause that stands is none.
    outcome admit(const request& given);
    outcome drain(const request& given, const progress_sink& tell);
    /// Also while an operation runs.
    outcome kill(const request& given);
    outcome reconnect();
    /// At once, or as a run of stages; see admit().
    outcome canary(const request& given, const progress_sink& tell);
    /// Also while an operation runs.
    outcome wait_close(const request& given, const progress_sink& tell);
    outcome take_clients(bool on, const std::string& by);
    bool takes_clients() const;
    outcome read_only(const request& given, const progress_sink& tell);
    outcome sessions(const request& given);
    boost::json::object status();

    /// Finishes what a crash interrupted; the gate was started closed. Blocks until it is open.
    void recover(const service_state& found);

    /// Finishes a change of forced read-only that a crash interrupted, and puts its fence up again
    /// where that does not survive. Waits for the server, at most some time.
    void recover_read_only();

    /// A crash ended a run of stages; their last set is in force.
    void stages_were_cut(const stages_record& found);

    /// Swaps the configuration; refused while an operation runs.
    outcome apply(config_pointer settings, std::shared_ptr<const proxy::service_settings> resolved);
    /// Other addresses of the same servers; false, and nothing done, while an operation runs.
    bool apply_addresses(std::shared_ptr<const proxy::service_settings> resolved);

    /// Before the process ends: interrupts what runs, waits for its end and refuses everything new.
    void stop();
    /// After stop(): ends each session at its next boundary, for at most cutover.drain_timeout or
    /// until `is_over`. How many are left.
    std::size_t wind_down(const std::function<bool()>& is_over, const progress_sink& tell);

private:
    /// The operation that a run of stages is for a moment, when it changes the set.
    static constexpr std::string_view stage_change = "stage change";
    static constexpr std::string_view stages_start = "start of stages";

    /// The right to be the one operation; given back when it goes out of scope.
    class turn {
    public:
        explicit turn(service_operations& owner) : owner_(&owner) {}
        turn(turn&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)) {}
        turn& operator=(turn&&) = delete;
        ~turn();

    private:
        service_operations* owner_;
    };
    class recorder;     ///< journal and audience of one cutover
    class stages_door;  ///< the service as a run of stages sees it
    class admission_door;
    class canary_door;

    /// What `status` shows of the last cutover or retarget.
    struct cutover_view {
        std::string id, from, to, step, outcome;
        limits::clock::time_point started{}, ended{};
    };

    /// Nothing when another operation runs or the process is about to end.
    std::optional<turn> begin(std::string_view name);
    outcome busy() const;
    bool interrupt_and_wait(std::string_view why);

    result<void> append(std::string_view kind, boost::json::object payload);
    void reopen(std::string_view why, std::string_view by = {});
    bool is_barred_by_stages(std::string_view name) const;
    std::string staging_words() const;
    std::shared_ptr<stages_run> stages_under_way() const;

    outcome admit_set(const request& given);
    outcome begin_stages(const request& given);
    outcome
    start_stages(stages_plan plan, std::unique_ptr<stages_door> door, const std::string& by);
    outcome change_stages(const request& given);
    outcome propose_stages(const request& given);
    result<std::chrono::duration<double, std::milli>>
    let_in(proxy::admission who, boost::json::object record);
    boost::json::object admitted_json(std::chrono::duration<double, std::milli> took);
    boost::json::value stages_json() const;

    void wait_drained(
        std::size_t meant,
        limits::clock::time_point deadline,
        const std::function<bool()>& is_over_early,
        const progress_sink& tell
    );
    outcome park_all(const request& given, bool was_open, const progress_sink& tell);
    outcome pause_is_late(const request& given, bool was_open);
    outcome end_blockers(const std::vector<proxy::session_info>& blockers, bool was_open);
    outcome stand(boost::json::object result);

    canary_record canary_now() const;
    result<canary_record> wanted_canary(const request& given) const;
    std::optional<outcome> refused_target(const result<canary_record>& wanted) const;
    result<void> send_canary(const canary_record& wanted, boost::json::object record);
    void wait_followed(
        std::string_view step, limits::clock::time_point deadline, const progress_sink& tell
    );
    outcome canary_outcome(const canary_record& now, std::chrono::milliseconds waited);
    std::optional<outcome> refused_by_canary() const;
    boost::json::value canary_json(const std::vector<proxy::session_info>& sessions) const;

    outcome begin_read_only(const request& given, const progress_sink& tell);
    outcome end_read_only(const request& given, const progress_sink& tell);
    std::optional<outcome> refused_read_only_user(const limits& until);
    outcome change_read_only_means(
        const read_only_record& now,
        read_only_means to,
        const request& given,
        const limits& until,
        const progress_sink& tell
    );
    void add_logins(boost::json::object& result) const;
    outcome own_logins_outcome(std::chrono::milliseconds waited);
    std::optional<outcome> refused_by_read_only_user() const;
    std::optional<outcome> refused_by_places() const;
    bool wait_guarded(limits::clock::time_point deadline, const progress_sink& tell);
    outcome read_only_is_late(limits::clock::time_point started);
    step_result<std::vector<std::string>> raise_read_only_fence(
        server_fence& fence, const read_only_record& planned, const limits& until
    );
    std::optional<outcome> lower_read_only_fence(const read_only_record& raised);
    outcome undo_read_only(read_only_record tried, bool was_on, const step_failure& why);
    std::optional<outcome> refused_by_read_only_fence() const;
    result<void> note_read_only(read_only_record next, std::string_view by);
    read_only_record read_only_now() const;
    boost::json::value read_only_json() const;

    result<cutover_request> make_move(
        const config_pointer& service, const request& given, std::string_view to, bool retarget
    );
    std::unique_ptr<server_pair>
    make_servers(const config_pointer& service, const cutover_request& asked);
    cutover_report
    move(const cutover_request& asked, server_pair& servers, const progress_sink& tell);
    outcome attempt(
        const config_pointer& service,
        const request& given,
        cutover_request asked,
        std::unique_ptr<server_pair> servers,
        const progress_sink& tell
    );
    std::optional<outcome> read_plan(const request& given, config_pointer& service) const;
    bool
    rest(std::chrono::milliseconds how_long, const std::string& why, const progress_sink& tell);
    /// The cutover or its rehearsal, by whoever has the turn.
    outcome cutover_to(
        const config_pointer& service,
        std::string_view to,
        const request& given,
        const progress_sink& tell
    );
    void show_cutover(const cutover_request& asked);
    void end_cutover(const cutover_request& asked, const cutover_report& report);
    boost::json::value cutover_json() const;
    boost::json::object admission_json(const std::vector<proxy::session_info>& sessions) const;
    std::string_view gate_word() const;

    surroundings around_;
    std::size_t id_;

    mutable std::mutex mutex_;  ///< of everything down to is_stopping_
    std::condition_variable ended_;
    config_pointer settings_;
    std::string running_;      ///< name of the operation; empty = none
    std::string interrupted_;  ///< why it was told to end; empty = it was not
    std::optional<cutover_view> cutover_;
    std::optional<fence_memory> fence_left_;  ///< see cutover_report
    fence_memories fences_;
    step_times times_;            ///< for the next dry run
    std::string previous_;        ///< where a rollback leads
    read_only_record read_only_;  ///< as last journaled
    bool takes_clients_;
    canary_record canary_;  ///< as last journaled
    bool is_stopping_ = false;
    bool is_staging_ = false;                  ///< a run of stages is under way
    boost::json::value stages_cut_ = nullptr;  ///< what status tells of a run before this process

    table_locks table_locks_;  ///< of forced read-only, by whoever has the turn

    std::atomic<bool> aborted_ = false;
    std::atomic<bool> stopping_ = false;  ///< as is_stopping_, for a cutover under way
    engine_traffic traffic_;

    std::shared_ptr<stages_run> stages_;  ///< the last one; guarded by mutex_
};

}  // namespace pgsluice::control
