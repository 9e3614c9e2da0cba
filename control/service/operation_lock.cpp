// One operation of a service at a time: who holds the lock, what a run of stages bars, and how the
// operation that runs is ended.
#include "control/service/operation_lock.hpp"

#include <array>

namespace pgsluice::control {
namespace {

/// For a stage to be journaled and to take effect.
constexpr std::chrono::milliseconds stage_change_max{5'000};

}  // namespace

std::string_view to_string(operation what) noexcept {
    constexpr std::array<std::string_view, operations> names{
        "",
        "pause",
        "resume",
        "retarget",
        "cutover",
        "rollback",
        "preflight",
        "drain",
        "reconnect",
        "disable",
        "enable",
        "admit",
        "canary",
        "start of stages",
        "stage change",
        "readonly",
        "recovery",
        "recovery of readonly",
        "reload"};
    static_assert(static_cast<std::size_t>(operation::reload) + 1 == operations);
    return names[static_cast<std::size_t>(what)];
}

bool is_move(operation what) noexcept {
    return what == operation::cutover || what == operation::retarget || what == operation::rollback;
}

operation_lock::operation_lock(std::string service, hooks calls)
    : service_(std::move(service)), hooks_(std::move(calls)) {}

operation_lock::holder::~holder() {
    if (owner_ == nullptr) {
        return;
    }
    owner_->hooks_.settle();
    const std::lock_guard guard(owner_->mutex_);
    owner_->running_ = operation::none;
    owner_->ended_.notify_all();
}

std::optional<operation_lock::holder> operation_lock::begin(operation what) {
    std::unique_lock guard(mutex_);
    // A stage change ends in a moment, and who gives a command cannot know of it.
    ended_.wait_for(guard, stage_change_max, [this] {
        return running_ != operation::stage_change;
    });
    if (stopping_ || running_ != operation::none || is_barred(what)) {
        return std::nullopt;
    }
    running_ = what;
    interrupted_.clear();
    aborted_ = false;
    return holder(*this);
}

outcome operation_lock::busy() const {
    const std::lock_guard guard(mutex_);
    const std::string name = "service " + service_;
    if (stopping_) {
        return outcome::of(exit_code::refused, name + " is shutting down");
    }
    if (running_ != operation::none) {
        const std::string what(to_string(running_));
        return outcome::of(exit_code::refused, name + " is busy: a " + what + " is running");
    }
    return outcome::of(exit_code::refused, stages_ ? stages_text() : name + " was busy, try again");
}

operation operation_lock::running() const {
    const std::lock_guard guard(mutex_);
    return running_;
}

bool operation_lock::while_idle(const std::function<void()>& change) {
    const std::lock_guard guard(mutex_);
    if (stopping_ || running_ != operation::none) {
        return false;
    }
    change();
    return true;
}

bool operation_lock::interrupt_and_wait(std::string_view why, std::optional<operation> only) {
    std::unique_lock guard(mutex_);
    if (running_ == operation::none || (only && running_ != *only)) {
        return false;
    }
    interrupted_ = why;
    aborted_ = true;
    hooks_.interrupt();
    ended_.wait(guard, [this] { return running_ == operation::none; });
    return true;
}

std::string operation_lock::interrupted() const {
    const std::lock_guard guard(mutex_);
    return interrupted_;
}

void operation_lock::stop() {
    const std::lock_guard guard(mutex_);
    stopping_ = true;
}

bool operation_lock::wait_stopped(std::chrono::milliseconds how_long) {
    std::unique_lock guard(mutex_);
    return ended_.wait_for(guard, how_long, [this] { return stopping_.load(); });
}

// --- stages

void operation_lock::set_stages(std::optional<stages_of> what) {
    const std::lock_guard guard(mutex_);
    stages_ = what;
}

std::optional<stages_of> operation_lock::stages() const {
    const std::lock_guard guard(mutex_);
    return stages_;
}

/// What would change the set, or what the set is about, beside the stages.
bool operation_lock::is_barred(operation what) const {
    if (!stages_) {
        return false;
    }
    const auto own = *stages_ == stages_of::canary ? operation::canary : operation::admit;
    return what == operation::stages_start || what == own || is_move(what);
}

std::string operation_lock::stages_text() const {
    return "service " + service_ +
           (*stages_ == stages_of::canary
                ? " has a canary in stages; abort ends that, and the canary stays"
                : " admits its clients in stages; abort ends that, and the set stays");
}

}  // namespace pgsluice::control
