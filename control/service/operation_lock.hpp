#pragma once

#include "control/commands/outcome.hpp"
#include "control/records/stages.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace pgsluice::control {

/// What holds a service's operation lock.
enum class operation : std::uint8_t {
    none,
    pause,
    resume,
    retarget,
    cutover,
    rollback,
    preflight,
    drain,
    reconnect,
    disable,
    enable,
    admit,
    canary,
    stages_start,
    stage_change,  ///< what a run of stages is for a moment, when it changes the set
    read_only,
    recovery,
    read_only_recovery,
    reload,
};
inline constexpr std::size_t operations = 19;

/// As refusals name it: "a cutover is running".
std::string_view to_string(operation what) noexcept;

/// Cutover, retarget and rollback: all sessions go from one backend to another.
bool is_move(operation what) noexcept;

/// Lets one operation of a service run at a time, and ends the one that runs. Any thread may call
/// every member.
class operation_lock {
public:
    /// `interrupt` ends the wait that the running operation is in; `settle` runs when it has ended,
    /// just before the next one may begin.
    struct hooks {
        std::function<void()> interrupt;
        std::function<void()> settle;
    };
    operation_lock(std::string service, hooks calls);

    /// The right to be the one operation; given back when it goes out of scope.
    class holder {
    public:
        explicit holder(operation_lock& owner) : owner_(&owner) {}
        holder(holder&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)) {}
        holder& operator=(holder&&) = delete;
        ~holder();

    private:
        operation_lock* owner_;
    };

    /// Nothing when another operation runs or the process is about to end.
    std::optional<holder> begin(operation what);
    /// Why begin() yields nothing.
    outcome busy() const;
    operation running() const;
    /// Runs `change` while no operation can begin; false, and nothing done, while one runs.
    bool while_idle(const std::function<void()>& change);

    /// Ends the running operation (the one `only`, where that is given) and waits for its end.
    /// False when there was none.
    bool interrupt_and_wait(std::string_view why, std::optional<operation> only = std::nullopt);
    /// Why the running operation was ended; empty: it was not.
    std::string interrupted() const;
    /// Refuses everything from now on.
    void stop();
    /// Waits that long. True, and at once, when the process is about to end.
    bool wait_stopped(std::chrono::milliseconds how_long);

    /// What a run of stages under way is about; it bars the operations that would be in its way.
    void set_stages(std::optional<stages_of> what);
    std::optional<stages_of> stages() const;

    /// The running operation was told to end; for its waits.
    const std::atomic<bool>& aborted() const { return aborted_; }
    /// The process is about to end.
    const std::atomic<bool>& stopping() const { return stopping_; }

private:
    bool is_barred(operation what) const;
    std::string stages_text() const;

    const std::string service_;
    const hooks hooks_;
    mutable std::mutex mutex_;  ///< of everything below
    std::condition_variable ended_;
    operation running_ = operation::none;
    std::string interrupted_;
    std::optional<stages_of> stages_;
    std::atomic<bool> aborted_ = false;   ///< also read without the mutex
    std::atomic<bool> stopping_ = false;  ///< also read without the mutex
};

}  // namespace pgsluice::control
