#pragma once

#include "protocol/errors.hpp"

#include <string>
#include <utility>

namespace pgsluice::control {

/// Owns a file descriptor; closes it once.
class unique_fd {
public:
    unique_fd() = default;
    explicit unique_fd(int fd) : fd_(fd) {}
    unique_fd(unique_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    unique_fd& operator=(unique_fd&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    unique_fd(const unique_fd&) = delete;
    unique_fd& operator=(const unique_fd&) = delete;
    ~unique_fd();

    int get() const { return fd_; }
    bool is_open() const { return fd_ >= 0; }
    /// It is the caller's from now on.
    int release() { return std::exchange(fd_, -1); }

private:
    int fd_ = -1;
};

/// `DOING PATH: strerror(errno)` with SQLSTATE 58030 (io_error).
failure file_failure(const std::string& doing, const std::string& path);

/// Makes the names in a directory durable, which fsync of a file does not (fsync(2), Notes).
result<void> sync_directory(const std::string& path);

/// Everything in the file from its start.
result<std::string> read_all(int fd, const std::string& path);

/// Writes all of `text` at the descriptor's position, whatever pieces the kernel takes.
result<void> write_all(int fd, std::string_view text, const std::string& path);

}  // namespace pgsluice::control
