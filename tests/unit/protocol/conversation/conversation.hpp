#pragma once

#include "tests/unit/protocol/wire/exact_bytes.hpp"

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::protocol {

/// What a session_state must say behind a message.
enum class expectation { busy, boundary, unknowable };

struct conversation_line {
    bool from_client = false;
    char type = 0;
    std::string body;
    expectation then = expectation::busy;
};

struct conversation {
    std::string name;
    std::vector<conversation_line> lines;
};

/// Resolves \0 and \xHH.
inline std::string unescape(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '\\') {
            out += text[i];
        } else if (text.at(++i) == '0') {
            out += '\0';
        } else {
            out += static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16));
            i += 2;
        }
    }
    return out;
}

/// Reads the notation of golden_conversations.hpp.
inline std::vector<conversation> parse_conversations(std::string_view text) {
    std::vector<conversation> all;
    std::string line;
    while (!text.empty()) {
        const auto end = text.find('\n');
        line += text.substr(0, end);
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
        if (line.ends_with('\\')) {
            line.pop_back();
            continue;
        }
        if (line.starts_with("= ")) {
            all.push_back({line.substr(2), {}});
        } else if (line.starts_with("> ") || line.starts_with("< ")) {
            const std::string body = line.size() > 4 ? unescape(line.substr(4)) : "";
            all.back().lines.push_back({line[0] == '>', line.at(2), body});
        } else if (line == "boundary") {
            all.back().lines.back().then = expectation::boundary;
        } else if (line == "unknowable") {
            all.back().lines.back().then = expectation::unknowable;
        } else if (!line.empty() && line[0] != '#') {
            throw std::logic_error("not a line of a conversation: " + line);
        }
        line.clear();
    }
    return all;
}

}  // namespace pgsluice::protocol
