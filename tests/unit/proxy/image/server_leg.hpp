#pragma once

#include "protocol/wire/messages.hpp"
#include "proxy/image/script.hpp"

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <map>
#include <netinet/in.h>
#include <stdexcept>
#include <string>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace pgsluice::proxy {

/// A blocking connection to a real server that trusts 127.0.0.1. For tests: every surprise throws.
class server_leg {
public:
    using parameters = std::vector<std::pair<std::string, std::string>>;

    server_leg(std::uint16_t port, const parameters& startup) {
        socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        const auto* any = reinterpret_cast<const sockaddr*>(&address);
        if (::connect(socket_, any, sizeof address) != 0)
            throw std::runtime_error("no server at port " + std::to_string(port));
        std::string packet;
        protocol::writer out(packet);
        out.begin_untyped_message();
        out.i32(protocol::startup_code::StartupMessage);
        for (const auto& [name, value] : startup) {
            out.cstring(name);
            out.cstring(value);
        }
        out.u8(0);
        out.end_message();
        send(packet);
        until_ready();
    }
    server_leg(server_leg&& other) noexcept : socket_(std::exchange(other.socket_, -1)) {}
    server_leg(const server_leg&) = delete;
    ~server_leg() {
        if (socket_ >= 0)
            ::close(socket_);
    }

    void send(std::string_view bytes) {
        while (!bytes.empty()) {
            const auto sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (sent <= 0)
                throw std::runtime_error("the server is gone");
            bytes.remove_prefix(static_cast<std::size_t>(sent));
        }
    }

    struct message {
        char type = 0;
        std::string body;
    };

    message receive() {
        const std::string header = receive_bytes(5);
        const auto bytes = protocol::as_bytes(header);
        return {header[0], receive_bytes(protocol::load_u32(bytes.data() + 1) - 4)};
    }

    /// Runs a script the way a session does.
    script_outcome run(const script& what) {
        send(what.bytes);
        script_reader reader(what);
        for (;;) {
            const message m = receive();
            const auto reply = reader.on_message(m.type, protocol::as_bytes(m.body));
            if (reply == script_reader::reply::not_mine)
                passed_on.push_back(m.type);
            if (reply == script_reader::reply::done)
                return reader.take();
        }
    }

    /// A simple Query that must not fail; the first column of its rows.
    std::vector<std::string> query(std::string_view text) {
        std::string packet;
        protocol::encode_query(packet, text);
        send(packet);
        return until_ready();
    }

    /// First column of the first row.
    std::string ask(std::string_view text) {
        const auto rows = query(text);
        return rows.empty() ? std::string("no row") : rows.front();
    }

    /// Sends whole messages ending with Sync; they must not fail.
    std::vector<std::string> exchange(std::string_view messages) {
        send(messages);
        return until_ready();
    }

    std::string last_sqlstate;    ///< of the last exchange; empty if it went well
    std::vector<char> passed_on;  ///< types of messages that a script had no use for

private:
    std::vector<std::string> until_ready() {
        std::vector<std::string> rows;
        last_sqlstate.clear();
        std::string error;
        for (;;) {
            const message m = receive();
            const auto body = protocol::as_bytes(m.body);
            if (m.type == protocol::backend::ErrorResponse) {
                const auto fields = protocol::decode_error_response(body).value();
                last_sqlstate = fields.sqlstate;
                error = fields.message;
            }
            if (m.type == protocol::backend::DataRow) {
                const auto row = protocol::decode_data_row(body).value();
                const auto first = *row.begin();
                rows.emplace_back(first ? protocol::as_text(*first) : "NULL");
            }
            if (m.type == protocol::backend::ReadyForQuery)
                break;
        }
        if (!error.empty() && !tolerates_errors)
            throw std::runtime_error(last_sqlstate + ": " + error);
        return rows;
    }

    std::string receive_bytes(std::size_t count) {
        std::string bytes(count, '\0');
        std::size_t have = 0;
        while (have < count) {
            const auto got = ::recv(socket_, bytes.data() + have, count - have, 0);
            if (got <= 0)
                throw std::runtime_error("the server closed the connection");
            have += static_cast<std::size_t>(got);
        }
        return bytes;
    }

    int socket_ = -1;

public:
    bool tolerates_errors = false;
};

}  // namespace pgsluice::proxy
