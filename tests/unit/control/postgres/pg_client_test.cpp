// What the control plane's connections do when nobody answers. Real servers are tried in
// tests/integration/test_cutover.py.
#include "control/postgres/pg_client.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace pgsluice::control {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

/// A port on 127.0.0.1 that accepts connections and never says a word.
class mute_server {
public:
    explicit mute_server(bool listening) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        EXPECT_EQ(::bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
        socklen_t length = sizeof address;
        ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &length);
        port_ = ntohs(address.sin_port);
        if (listening) {
            EXPECT_EQ(::listen(socket_, 4), 0);
        }
    }
    ~mute_server() { ::close(socket_); }
    mute_server(const mute_server&) = delete;
    mute_server& operator=(const mute_server&) = delete;

    pg_login login() const {
        pg_login where;
        where.server = "blue";
        where.address = {"127.0.0.1", port_};
        where.admin.user = "postgres";
        where.admin.dbname = "app";
        return where;
    }

private:
    int socket_;
    std::uint16_t port_ = 0;
};

limits within(milliseconds time, const std::atomic<bool>* aborted = nullptr) {
    return {limits::clock::now() + time, aborted};
}

TEST(PgClient, NamesTheServerThatRefusesTheConnection) {
    const mute_server closed(false);
    const auto client = pg_client::connect(closed.login(), within(milliseconds{10'000}));
    ASSERT_FALSE(client);
    EXPECT_EQ(client.error().why, setback::failed);
    EXPECT_THAT(client.error().text, HasSubstr("blue: cannot"));
    EXPECT_THAT(client.error().text, HasSubstr("Connection refused"));
}

TEST(PgClient, GivesUpOnAMuteServerAtTheDeadline) {
    const mute_server mute(true);
    const auto client = pg_client::connect(mute.login(), within(milliseconds{30}));
    ASSERT_FALSE(client);
    EXPECT_EQ(client.error().why, setback::deadline);
    EXPECT_EQ(client.error().text, "blue did not answer in time");
}

TEST(PgClient, NoticesAnAbortWhileAServerIsMute) {
    const mute_server mute(true);
    const std::atomic<bool> aborted{true};
    const auto client = pg_client::connect(mute.login(), within(milliseconds{60'000}, &aborted));
    ASSERT_FALSE(client);
    EXPECT_EQ(client.error().why, setback::aborted);
}

}  // namespace
}  // namespace pgsluice::control
