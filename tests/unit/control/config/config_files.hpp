#pragma once

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

namespace pgsluice::control {

/// The least that a configuration must say.
inline constexpr std::string_view smallest = R"(services:
  app:
    listen: ["127.0.0.1:6432"]
    backends:
      blue: {host: localhost}
)";

/// A file of the repository.
inline std::string file_text(const std::string& relative) {
    const auto root = std::filesystem::path(PGSLUICE_SOURCE_DIR);
    std::ifstream file(root / relative);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

}  // namespace pgsluice::control
