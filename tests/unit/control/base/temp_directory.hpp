#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace pgsluice::control {

/// A fresh directory that goes away with the test.
class temp_directory {
public:
    temp_directory() {
        std::string pattern = (std::filesystem::temp_directory_path() / "pgsluice-XXXXXX").string();
        path_ = ::mkdtemp(pattern.data());
    }
    temp_directory(const temp_directory&) = delete;
    temp_directory& operator=(const temp_directory&) = delete;
    ~temp_directory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    const std::string& path() const { return path_; }

private:
    std::string path_;
};

}  // namespace pgsluice::control
