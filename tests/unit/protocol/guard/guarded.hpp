#pragma once

#include "protocol/guard/read_only_guard.hpp"
#include "protocol/wire/messages.hpp"

#include <algorithm>
#include <sstream>
#include <string>
#include <utility>

namespace pgsluice::protocol {

/// A guard between a client and a server of words. What goes to the server is written as one word a
/// message: `P:name:text`, `B:portal:name`, `E:portal`, and the type alone for the rest. Two runs
/// of ours have words of their own: `begin` (and commit, again, rollback, denial) and `pin`.
class guarded {
public:
    std::string client(const std::string& type, const std::string& body = {}) {
        guard.on_client(type[0], as_bytes(body));
        return sent();
    }
    std::string query(const std::string& text) { return client("Q", text + std::string(1, '\0')); }
    std::string parse(const std::string& name, const std::string& text) {
        return client("P", name + std::string(1, '\0') + text + std::string(3, '\0'));
    }
    std::string bind(const std::string& name, const std::string& portal = {}) {
        return client("B", portal + std::string(1, '\0') + name + std::string(7, '\0'));
    }
    std::string execute(const std::string& portal = {}, char rows_max = 0) {
        return client("E", portal + std::string(4, '\0') + rows_max);
    }
    void knows_unnamed(const std::string& text) {
        guard.knows_unnamed(as_bytes(std::string(1, '\0') + text + std::string(3, '\0')));
    }

    /// Messages of the server, a word each: `1`, `C:TAG`, `E:SQLSTATE`, `Z:I`. Yields what the
    /// client sees of them, and behind `>` what went to the server.
    std::string server(const std::string& words) {
        std::istringstream in(words);
        std::string seen;
        for (std::string word; in >> word;) {
            std::string rest = word.size() > 1 ? word.substr(2) : "";
            std::replace(rest.begin(), rest.end(), '_', ' ');
            std::string body = word[0] == 'C' ? rest + std::string(1, '\0') : rest;
            if (word[0] == 'E') {
                body.clear();
                encode_error_response(body, severity::error, {rest, "m", {}, {}});
                body.erase(0, 5);
            }
            const auto reply = guard.on_server(word[0], as_bytes(body));
            if (reply == read_only_guard::reply::pass) {
                seen += word + " ";
            } else if (reply == read_only_guard::reply::replace) {
                const auto body_now = as_bytes(guard.replacement()).subspan(5);
                const auto fields = decode_error_response(body_now);
                seen += "E:" + std::string(fields->sqlstate) + (fields->hint.empty() ? " " : "! ");
            }
        }
        return seen + "> " + sent();
    }

    read_only_guard guard{{"app"}, {}};

private:
    static std::string word_of(char type, byte_view body) {
        std::string word(1, type);
        if (type == 'P') {
            const auto message = decode_parse(body);
            return word + ":" + std::string(message->statement) + ":" + std::string(message->query);
        }
        if (type == 'B') {
            const auto message = decode_bind(body);
            return word + ":" + std::string(message->portal) + ":" +
                   std::string(message->statement);
        }
        return type == 'E' ? word + ":" + std::string(*reader(body).cstring()) : word;
    }

    static void shorten(std::string& text, const std::string& from, const std::string& to) {
        for (auto at = text.find(from); at != text.npos; at = text.find(from)) {
            text.replace(at, from.size(), to);
        }
    }

    std::string sent() {
        const std::string bytes = guard.take_to_server();
        std::string words;
        for (std::size_t at = 0; at < bytes.size();) {
            const byte_view rest = as_bytes(bytes).subspan(at);
            const std::uint32_t length = load_u32(rest.data() + 1);
            words += word_of(static_cast<char>(rest[0]), rest.subspan(5, length - 4)) + " ";
            at += length + 1;
        }
        shorten(words, "P::SELECT 1 P:", "pin P:");
        const std::pair<const char*, const char*> ours[] = {
            {"BEGIN READ ONLY, NOT DEFERRABLE", "begin"},
            {"SET TRANSACTION READ ONLY", "again"},
            {"COMMIT", "commit"},
            {"ROLLBACK", "rollback"},
            {"CREATE TEMPORARY TABLE \"pgsluice: forced read-only\" ()", "denial"}};
        for (const auto& [text, name] : ours) {
            const std::string named = "P:pgsluice.guard:" + std::string(text);
            shorten(words, named + " B::pgsluice.guard E: C ", "named-" + std::string(name) + " ");
            shorten(words, "P::" + std::string(text) + " B:: E: ", std::string(name) + " ");
        }
        shorten(words, "P:pgsluice.guard:SELECT 1 C ", "named-pin ");
        return words;
    }
};

/// The server's answers to the words above.
inline constexpr const char* begun = "1 2 C:BEGIN 1 ";     // begin pin, unnamed
inline constexpr const char* committed = "1 2 C:COMMIT ";  // commit, unnamed

}  // namespace pgsluice::protocol
