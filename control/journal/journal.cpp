// The journal's file: lock, replay, durable append, atomic rewrite. What fsync promises and what
// not is fsync(2); after a failed one the kernel may have dropped the pages, so it is never
// retried.
#include "control/journal/journal.hpp"

#include "control/base/fault.hpp"

#include <chrono>
#include <cstdlib>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace pgsluice::control {
namespace {

constexpr mode_t directory_mode = 0700;
constexpr mode_t file_mode = 0600;

std::int64_t now_ms() {
    const auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::milliseconds>(since_epoch).count();
}

/// The lock file outlives its holder; the lock does not. It holds the pid for the loser's message.
result<unique_fd> take_lock(const std::string& state_dir) {
    const std::string path = state_dir + "/lock";
    unique_fd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, file_mode));
    if (!lock.is_open()) {
        return file_failure("cannot open", path);
    }
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
        const auto holder = read_all(lock.get(), path);
        const std::string pid = holder ? *holder : "unknown";
        return failure{
            "55006",
            "the state directory " + state_dir + " is in use by process " +
                pid.substr(0, pid.find('\n')),
            {},
            "stop that daemon, or give this one a state_dir of its own"};
    }
    const std::string pid = std::to_string(::getpid()) + "\n";
    if (::ftruncate(lock.get(), 0) != 0) {
        return file_failure("cannot write", path);
    }
    if (auto written = write_all(lock.get(), pid, path); !written) {
        return written.error();
    }
    return lock;
}

}  // namespace

journal::journal(std::string state_dir, unique_fd lock)
    : state_dir_(std::move(state_dir)), lock_(std::move(lock)) {}

result<std::unique_ptr<journal>> journal::open(const std::string& state_dir) {
    if (::mkdir(state_dir.c_str(), directory_mode) != 0 && errno != EEXIST) {
        return file_failure("cannot create the state directory", state_dir);
    }
    auto lock = take_lock(state_dir);
    if (!lock) {
        return lock.error();
    }
    std::unique_ptr<journal> opened(new journal(state_dir, std::move(*lock)));
    if (auto replayed = opened->replay(); !replayed) {
        return replayed.error();
    }
    return opened;
}

result<void> journal::replay() {
    file_ = unique_fd(::open(path().c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, file_mode));
    if (!file_.is_open()) {
        return file_failure("cannot open", path());
    }
    if (auto synced = sync_directory(state_dir_); !synced) {
        return synced;
    }
    const auto text = read_all(file_.get(), path());
    if (!text) {
        return text.error();
    }
    auto decoded = decode_journal(*text);
    if (!decoded) {
        failure why = decoded.error();
        why.message = path() + ": " + why.message;
        return why;
    }
    size_bytes_ = decoded->valid_bytes;
    torn_bytes_ = text->size() - decoded->valid_bytes;
    if (torn_bytes_ > 0 && (::ftruncate(file_.get(), static_cast<off_t>(size_bytes_)) != 0 ||
                            ::fsync(file_.get()) != 0)) {
        return file_failure("cannot cut off the torn end of", path());
    }
    replayed_ = std::move(decoded->records);
    last_seq_ = replayed_.empty() ? 0 : replayed_.back().seq;
    return {};
}

/// Takes back what a failed append may have written; where that fails too, the journal is broken.
failure journal::undo_write(failure why) {
    if (::ftruncate(file_.get(), static_cast<off_t>(size_bytes_)) != 0 ||
        ::fdatasync(file_.get()) != 0) {
        is_broken_ = true;
        why.message += "; what is on the disk is unknown until a restart";
    }
    return why;
}

result<void> journal::write_record(const journal_record& record) {
    const std::string line = encode_record(record);
    if (auto written = write_all(file_.get(), line, path()); !written) {
        return undo_write(written.error());
    }
    if (auto fault = fault_point("journal_written:" + record.kind); !fault) {
        return undo_write(fault.error());
    }
    if (::fdatasync(file_.get()) != 0) {
        return undo_write(file_failure("cannot sync", path()));
    }
    size_bytes_ += line.size();
    return {};
}

result<journal_record>
journal::append(std::string_view service, std::string_view kind, boost::json::object payload) {
    const std::lock_guard guard(mutex_);
    if (is_broken_) {
        return failure{
            "58030", path() + " cannot be written since an earlier error", {}, "restart pgsluice"};
    }
    journal_record record{
        last_seq_ + 1, now_ms(), std::string(service), std::string(kind), std::move(payload)};
    if (auto fault = fault_point("journal_before:" + record.kind); !fault) {
        return fault.error();
    }
    if (auto written = write_record(record); !written) {
        return written.error();
    }
    last_seq_ = record.seq;
    (void)fault_point("journal_after:" + record.kind);  // too late to fail: it is durable
    return record;
}

result<std::vector<journal_record>> journal::read() const {
    const std::lock_guard guard(mutex_);
    const auto text = read_all(file_.get(), path());
    if (!text) {
        return text.error();
    }
    auto decoded = decode_journal(*text);
    if (!decoded) {
        return decoded.error();
    }
    return std::move(decoded->records);
}

bool journal::is_broken() const {
    const std::lock_guard guard(mutex_);
    return is_broken_;
}

result<void> journal::rewrite(std::vector<journal_record> kept) {
    const std::lock_guard guard(mutex_);
    const std::string next_path = path() + ".new";
    unique_fd next(
        ::open(next_path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, file_mode)
    );
    if (!next.is_open()) {
        return file_failure("cannot create", next_path);
    }
    std::string text;
    std::uint64_t seq = 0;
    for (journal_record& record : kept) {
        record.seq = ++seq;
        text += encode_record(record);
    }
    if (auto written = write_all(next.get(), text, next_path); !written) {
        return written;
    }
    if (::fsync(next.get()) != 0) {
        return file_failure("cannot sync", next_path);
    }
    if (::rename(next_path.c_str(), path().c_str()) != 0) {
        return file_failure("cannot rename", next_path);
    }
    file_ = std::move(next);
    replayed_ = std::move(kept);
    size_bytes_ = text.size();
    last_seq_ = seq;
    return sync_directory(state_dir_);
}

}  // namespace pgsluice::control
