// The few system calls on files that the journal and the sockets share, with their errors in words.
#include "control/base/file.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

namespace pgsluice::control {

unique_fd::~unique_fd() {
    if (fd_ >= 0) {
        ::close(fd_);
    }
}

failure file_failure(const std::string& doing, const std::string& path) {
    return failure{"58030", doing + " " + path + ": " + std::strerror(errno), {}, {}};
}

result<void> sync_directory(const std::string& path) {
    const unique_fd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory.is_open() || ::fsync(directory.get()) != 0) {
        return file_failure("cannot sync the directory", path);
    }
    return {};
}

result<std::string> read_all(int fd, const std::string& path) {
    std::string text;
    char buffer[65536];
    while (true) {
        const ssize_t n = ::pread(fd, buffer, sizeof buffer, static_cast<off_t>(text.size()));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return file_failure("cannot read", path);
        }
        if (n == 0) {
            return {boost::system::in_place_value, std::move(text)};
        }
        text.append(buffer, static_cast<std::size_t>(n));
    }
}

result<void> write_all(int fd, std::string_view text, const std::string& path) {
    while (!text.empty()) {
        const ssize_t n = ::write(fd, text.data(), text.size());
        if (n < 0 && errno != EINTR) {
            return file_failure("cannot write", path);
        }
        text.remove_prefix(n < 0 ? 0 : static_cast<std::size_t>(n));
    }
    return {};
}

}  // namespace pgsluice::control
