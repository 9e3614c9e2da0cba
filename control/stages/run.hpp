#pragma once

#include "control/commands/outcome.hpp"
#include "control/stages/guard_meter.hpp"
#include "control/stages/machine.hpp"
#include "control/stages/plan.hpp"

#include <boost/json/object.hpp>

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace pgsluice::control {

/// A service as a run of stages sees it.
class staged_service {
public:
    /// Which set is to be in force and why, for the journal.
    struct stage_note {
        std::size_t stage = 0;  ///< from 1; 0 = the set that stood before the run
        std::size_t of = 0;
        std::string by;   ///< who asked
        std::string why;  ///< of a fall back
    };

    virtual ~staged_service() = default;

    virtual service_reading read() = 0;
    /// Journals the set, then lets it take effect. Fails, and nothing has changed, while another
    /// operation runs or where the journal cannot be written.
    virtual result<void> enter(const stage_note& note) = 0;
    /// Journals what the operator asked for, or the end.
    virtual void note(std::string_view state, boost::json::object fields) = 0;
    /// Asks a server or runs a command; takes as long as the guard allows.
    virtual guard_verdict probe(const guard_config& guard, const std::atomic<bool>& stopped) = 0;
    /// Closes what probe() has left open; by the thread that called it.
    virtual void let_go() = 0;
};

/// One run of stages: looks at the guards now and then, and changes the set as the plan says. Its
/// thread calls look(); a test calls it itself. The other members may be called by any thread.
class stages_run {
public:
    stages_run(stages_plan plan, std::unique_ptr<staged_service> service, std::string by);
    /// stop()s.
    ~stages_run();
    stages_run(const stages_run&) = delete;
    stages_run& operator=(const stages_run&) = delete;

    /// The first stage is in force; `before` was read just before, so that nothing since is missed.
    void begin(const service_reading& before);
    /// After begin(): looks every 200 ms from now on.
    void start_thread();
    /// Waits for its thread. Not for the thread itself.
    void stop();

    /// One look, and what follows from it.
    void look();

    outcome pause(const std::string& by);
    outcome resume(const std::string& by);
    outcome skip(const std::string& by);
    /// Over, the set stays. False if it was over already.
    bool end(std::string_view how, const std::string& by);

    stages_of what() const { return plan_.what; }
    bool is_over() const;
    std::size_t stage() const;
    /// As `status` has it.
    boost::json::object status() const;

private:
    using order = stage_machine::order;

    void ask_probes(const std::vector<guard_config>& guards, std::size_t entries);
    void note_hold_locked(stage_state before);
    std::vector<guard_verdict> judge_locked() const;
    result<void> carry_out_locked(const order& todo, const std::string& by);
    void finish_locked(std::string_view how, const std::string& by);
    const std::vector<guard_config>& guards_locked() const;
    std::string place_locked() const;
    outcome answer_locked() const;
    boost::json::object status_locked() const;
    outcome refused_as_over_locked() const;

    const stages_plan plan_;
    const std::unique_ptr<staged_service> service_;
    const std::string by_;

    mutable std::mutex mutex_;  ///< of everything down to outcome_
    std::condition_variable changed_;
    stage_machine machine_;
    guard_meter meter_;
    /// Of the guards in force, by their place among them.
    struct answer {
        limits::clock::time_point at{};
        guard_verdict verdict;
    };
    std::map<std::size_t, answer> answers_;
    std::size_t entries_ = 0;  ///< stages that were entered: what was seen before does not count
    limits::clock::time_point noted_{};  ///< the last hold in the journal
    std::string trouble_;                ///< why an order could not be carried out; empty: it could
    std::string outcome_;                ///< empty until it is over

    std::atomic<bool> stopped_ = false;
    std::thread thread_;
};

}  // namespace pgsluice::control
