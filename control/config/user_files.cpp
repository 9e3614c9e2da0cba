// Files with secrets, read once and wiped.
#include "control/config/user_files.hpp"

#include "control/base/file.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

namespace pgsluice::control {
namespace {

constexpr off_t file_bytes_max = 64L * 1024 * 1024;

failure unreadable(const std::string& path, const char* why) {
    return failure{"58030", path + ": " + why, {}, {}};
}

/// Exactly the key, or nothing when the file is missing or another size.
bool read_key(const std::string& path, protocol::secret_key& key) {
    const unique_fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    std::array<std::uint8_t, protocol::secret_key::size + 1> bytes{};
    const ssize_t n = file.is_open() ? ::read(file.get(), bytes.data(), bytes.size()) : -1;
    std::copy_n(bytes.begin(), key.bytes.size(), key.bytes.begin());
    protocol::wipe(bytes.data(), bytes.size());
    return n == static_cast<ssize_t>(key.bytes.size());
}

result<std::string> read_file(const std::string& path) {
    const unique_fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat about {};
    if (!file.is_open() || ::fstat(file.get(), &about) != 0) {
        return unreadable(path, std::strerror(errno));
    }
    if (!S_ISREG(about.st_mode) || about.st_size > file_bytes_max) {
        return unreadable(path, "not a file of at most 64 MB");
    }
    return read_all(file.get(), path);
}

}  // namespace

result<void> read_users(const std::string& path, protocol::user_list& users) {
    auto text = read_file(path);
    if (!text) {
        return text.error();
    }
    auto parsed = protocol::parse_userlist(*text, users);
    protocol::wipe(text->data(), text->size());
    if (!parsed) {
        failure why = parsed.error();
        why.message = path + ":" + why.message;
        return why;
    }
    return {};
}

namespace {

template <class Rules>
result<Rules> read_rules(const std::string& path) {
    const auto text = read_file(path);
    if (!text) {
        return text.error();
    }
    auto parsed = Rules::parse(*text);
    if (!parsed) {
        failure why = parsed.error();
        why.message = path + ":" + why.message;
        return why;
    }
    return parsed;
}

}  // namespace

result<proxy::login_rules> read_login_rules(const std::string& path) {
    return read_rules<proxy::login_rules>(path);
}

result<proxy::user_maps> read_user_maps(const std::string& path) {
    return read_rules<proxy::user_maps>(path);
}

result<protocol::secret> read_password(const std::string& path) {
    auto text = read_file(path);
    if (!text) {
        return text.error();
    }
    std::string_view line = *text;
    line = line.substr(0, line.find_last_not_of("\r\n") + 1);
    const bool is_one_line =
        !line.empty() && line.find_first_of(std::string_view("\n\0", 2)) == std::string_view::npos;
    result<protocol::secret> password = protocol::secret(line);
    protocol::wipe(text->data(), text->size());
    if (!is_one_line) {
        return unreadable(path, "it does not have a password in one line");
    }
    return password;
}

result<protocol::secret_key> salt_key_in(const std::string& state_dir) {
    const std::string path = state_dir + "/salt_key";
    protocol::secret_key key;
    if (read_key(path, key)) {
        return key;
    }
    if (::getrandom(key.bytes.data(), key.bytes.size(), 0) !=
        static_cast<ssize_t>(key.bytes.size())) {
        return file_failure("no random bytes for", path);
    }
    const std::string fresh = path + ".new";
    constexpr mode_t only_owner = 0600;
    const unique_fd file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, only_owner)
    );
    if (!file.is_open()) {
        return file_failure("cannot create", fresh);
    }
    if (auto written = write_all(file.get(), protocol::as_text(key.view()), fresh); !written) {
        return written.error();
    }
    if (::fsync(file.get()) != 0 || ::rename(fresh.c_str(), path.c_str()) != 0) {
        return file_failure("cannot create", path);
    }
    return key;
}

}  // namespace pgsluice::control
