#pragma once

#include "control/base/file.hpp"
#include "control/journal/format.hpp"

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::control {

/// The append-only record of what the control plane intends and did, in `STATE_DIR/journal`; its
/// format stands in journal_format.cpp. A transition is appended before it takes effect.
///
/// Threads: append() may be called from any thread, everything else before other threads start.
class journal {
public:
    /// Creates the directory (mode 0700) and the file where they are missing, takes the lock
    /// `STATE_DIR/lock`, replays, cuts off a torn tail. Fails when another process holds the lock
    /// (naming its pid), when the file is damaged (naming the offset) and on any I/O error.
    static result<std::unique_ptr<journal>> open(const std::string& state_dir);

    /// What the file held at open(), oldest first.
    const std::vector<journal_record>& replayed() const { return replayed_; }
    const std::string& directory() const { return state_dir_; }
    /// Bytes of a torn last record that open() cut off; 0 normally.
    std::size_t torn_bytes() const { return torn_bytes_; }
    /// The file's size; the owner calls rewrite() when it has grown large.
    std::size_t size_bytes() const { return size_bytes_; }

    /// Appends one record and returns when it is durable. After a failure the record is not in the
    /// journal, unless is_broken() says that nobody can tell: then every later append fails too and
    /// the process should end, so that a restart reads what really is on the disk.
    /// Fault points: journal_before:KIND, journal_written:KIND (not yet synced),
    /// journal_after:KIND.
    result<journal_record>
    append(std::string_view service, std::string_view kind, boost::json::object payload);
    bool is_broken() const;
    /// What the file holds now, oldest first. May be called from any thread.
    result<std::vector<journal_record>> read() const;

    /// Replaces the file by `kept`, numbered anew from 1, atomically: a crash leaves either file
    /// whole. replayed() becomes `kept`.
    result<void> rewrite(std::vector<journal_record> kept);

private:
    journal(std::string state_dir, unique_fd lock);
    std::string path() const { return state_dir_ + "/journal"; }
    result<void> replay();
    result<void> write_record(const journal_record& record);
    failure undo_write(failure why);

    std::string state_dir_;
    unique_fd lock_;
    unique_fd file_;
    std::vector<journal_record> replayed_;
    std::size_t torn_bytes_ = 0;
    std::size_t size_bytes_ = 0;
    std::uint64_t last_seq_ = 0;
    bool is_broken_ = false;
    mutable std::mutex mutex_;
};

}  // namespace pgsluice::control
