// TLS on a stream, against OpenSSL's own client: what epoll cannot know, and what the socket does
// not take at once.
#include "protocol/wire/wire.hpp"
#include "proxy/net/stream.hpp"
#include "proxy/net/tls_channel.hpp"
#include "tests/unit/proxy/net/own_certificate.hpp"

#include <boost/asio/post.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <fstream>
#include <sys/socket.h>

namespace pgsluice::proxy {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

std::string text_of(std::span<const std::uint8_t> bytes) {
    return {bytes.begin(), bytes.end()};
}

/// A stream that serves TLS, and the client at the other end.
class TlsStream : public testing::Test, public io_sink {
protected:
    void SetUp() override {
        ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends_), 0);
        auto identity = tls_context::for_clients({certificate_.cert(), certificate_.key()});
        ASSERT_TRUE(identity.has_value()) << identity.error().message;
        identity_ = *identity;
        rules_ = *tls_context::for_backend({backend_tls::require, {}, "localhost"});
        end_.adopt(ends_[0]);
        client_ = SSL_new(rules_->native());
        SSL_set_fd(client_, ends_[1]);
        SSL_set_connect_state(client_);
    }
    ~TlsStream() override {
        SSL_free(client_);
        ::close(ends_[1]);
    }

    void shake_hands(std::vector<std::uint8_t> read_ahead = {}) {
        end_.secure(std::make_unique<tls_channel>(*identity_, ends_[0], std::move(read_ahead)));
        bool is_up = false;
        for (int turn = 0; turn < 10 && !is_up; ++turn) {
            const bool client_is_up = SSL_do_handshake(client_) == 1;
            is_up = end_.tls()->handshake() == tls_channel::step::done && client_is_up;
        }
        ASSERT_TRUE(is_up) << end_.tls()->why();
    }

    /// The name that the server takes the client for, which shows a certificate for `name`.
    std::optional<std::string> name_seen(std::string_view name) {
        const own_certificate shown(name);
        SSL_use_certificate_file(client_, shown.cert().c_str(), SSL_FILETYPE_PEM);
        SSL_use_PrivateKey_file(client_, shown.key().c_str(), SSL_FILETYPE_PEM);
        identity_ =
            *tls_context::for_clients({certificate_.cert(), certificate_.key(), shown.cert()});
        shake_hands();
        return end_.tls()->peer_name();
    }

    void say(const std::string& text) {
        ASSERT_EQ(
            SSL_write(client_, text.data(), static_cast<int>(text.size())),
            static_cast<int>(text.size())
        );
    }

    /// Runs the loop for some turns; returns how often the sink heard something.
    int turns(int count) {
        heard_ = 0;
        for (int i = 0; i < count; ++i) {
            boost::asio::post(loop_, [this, i, count] {
                if (i + 1 == count)
                    loop_.stop();
            });
        }
        loop_.run([] {});
        return heard_;
    }

    void on_io(std::uint32_t events) override {
        ++heard_;
        if ((events & EPOLLOUT) != 0) {
            [[maybe_unused]] const io_result flushed = end_.send({});
        }
        if ((events & EPOLLIN) == 0) {
            return;
        }
        std::vector<std::uint8_t> bytes(read_bytes_);
        const io_result r = end_.recv(bytes);
        got_ += text_of(std::span(bytes).first(r.bytes));
        last_ = r;
        if (r.over()) {
            end_.unwatch();
        }
    }

    /// Runs the loop until `done`; a test that hangs is ended by ctest.
    template <class Done>
    void run_until(Done done) {
        reactor& loop = loop_;
        bool is_stopped = false;
        loop.run([&] {
            if (done() && !is_stopped) {
                is_stopped = true;
                loop.stop();
            }
        });
    }

    own_certificate certificate_;
    tls_context::pointer identity_;
    tls_context::pointer rules_;
    reactor loop_;
    stream end_{loop_};
    ssl_st* client_ = nullptr;
    int ends_[2] = {-1, -1};
    std::size_t read_bytes_ = 10;
    std::string got_;
    io_result last_;
    int heard_ = 0;
};

TEST_F(TlsStream, BytesThatASmallReadLeavesAreHeardOf) {
    shake_hands();
    end_.watch(EPOLLIN, this);
    const std::string sent(1000, 'x');
    say(sent);
    run_until([&] { return got_.size() == sent.size(); });
    EXPECT_EQ(got_, sent);
}

TEST_F(TlsStream, BytesOfManyRecordsComeInOneRead) {
    shake_hands();
    read_bytes_ = 256 * 1024;
    const std::string sent(4000, 'x');
    for (int i = 0; i < 4; ++i)
        say(sent);
    std::vector<std::uint8_t> bytes(read_bytes_);
    EXPECT_EQ(end_.recv(bytes).bytes, 4 * sent.size());
    EXPECT_FALSE(end_.tls()->has_unread());
    EXPECT_TRUE(end_.recv(bytes).again());
}

TEST_F(TlsStream, BytesThatNobodyWantsYetAreHeardOfLater) {
    shake_hands();
    say("0123456789abcdef");
    std::vector<std::uint8_t> bytes(4);
    ASSERT_EQ(end_.recv(bytes).bytes, 4u);
    end_.watch(0, this);
    boost::asio::post(loop_, [&] { boost::asio::post(loop_, [&] { end_.watch(EPOLLIN, this); }); });
    run_until([&] { return got_.size() == 12; });
    EXPECT_EQ(got_, "456789abcdef");
}

TEST_F(TlsStream, AnotherListenerHearsOfWhatTheFirstLeft) {
    shake_hands();
    say("0123456789abcdef");
    std::vector<std::uint8_t> bytes(4);
    end_.watch(EPOLLIN, this);
    ASSERT_EQ(end_.recv(bytes).bytes, 4u);
    end_.rest();
    end_.unwatch();
    end_.watch(EPOLLIN, this);
    run_until([&] { return got_.size() == 12; });
}

TEST_F(TlsStream, TheEndBehindBytesIsHeardOfThoughTheSocketStaysOpen) {
    shake_hands();
    end_.watch(EPOLLIN, this);
    read_bytes_ = 100;
    say("last words");
    SSL_shutdown(client_);
    run_until([&] { return last_.over(); });
    EXPECT_EQ(got_, "last words");
    EXPECT_EQ(last_.what, io_result::status::end);
}

TEST_F(TlsStream, AnEndWithoutGoodbyeIsAnEnd) {
    shake_hands();
    end_.watch(EPOLLIN, this);
    ::shutdown(ends_[1], SHUT_WR);
    run_until([&] { return last_.over(); });
    EXPECT_EQ(last_.what, io_result::status::end);
    EXPECT_TRUE(end_.send(protocol::as_bytes("still heard")).done());
    char text[32] = {};
    EXPECT_EQ(SSL_read(client_, text, sizeof text), 11);
}

TEST_F(TlsStream, PeekLeavesTheBytes) {
    shake_hands();
    say("X");
    std::vector<std::uint8_t> bytes(1);
    EXPECT_EQ(end_.peek(bytes).bytes, 1u);
    EXPECT_TRUE(end_.tls()->has_unread());
    EXPECT_EQ(end_.recv(bytes).bytes, 1u);
    EXPECT_TRUE(end_.peek(bytes).again());
    EXPECT_FALSE(end_.tls()->has_unread());
}

TEST_F(TlsStream, WhatWasReadBeforeTlsBelongsToTheHandshake) {
    SSL_do_handshake(client_);
    std::vector<std::uint8_t> hello(4096);
    const io_result r = end_.recv(std::span(hello).first(7));
    ASSERT_TRUE(r.done());
    hello.resize(r.bytes);
    shake_hands(hello);
    say("hi");
    std::vector<std::uint8_t> bytes(8);
    EXPECT_EQ(end_.recv(bytes).bytes, 2u);
}

TEST_F(TlsStream, WhatTheSocketDoesNotTakeGoesOnFromAnotherPlace) {
    shake_hands();
    std::vector<std::uint8_t> sent(1'000'000);
    for (std::size_t i = 0; i < sent.size(); ++i)
        sent[i] = static_cast<std::uint8_t>(i * 7 + i / 256);
    std::vector<std::uint8_t> left = sent;
    std::vector<std::uint8_t> seen;
    int refused = 0;
    while (!left.empty()) {
        const io_result r = end_.send(left);
        ASSERT_FALSE(r.over());
        refused += r.again() ? 1 : 0;
        left = std::vector<std::uint8_t>(
            left.begin() + static_cast<std::ptrdiff_t>(r.bytes), left.end()
        );
        std::vector<std::uint8_t> part(50'000);
        const int n = SSL_read(client_, part.data(), static_cast<int>(part.size()));
        seen.insert(seen.end(), part.begin(), part.begin() + std::max(n, 0));
    }
    std::vector<std::uint8_t> part(50'000);
    for (int n = 1; n > 0;) {
        n = SSL_read(client_, part.data(), static_cast<int>(part.size()));
        seen.insert(seen.end(), part.begin(), part.begin() + std::max(n, 0));
    }
    EXPECT_GT(refused, 0);
    EXPECT_TRUE(seen == sent);
}

/// The peer asks for new keys while it does not read: the answer has to wait for the socket, and
/// what it has sent behind is read when the answer is out.
TEST_F(TlsStream, AnAnswerToAKeyUpdateThatHasToWaitDoesNotLoseBytes) {
    shake_hands();
    end_.watch(EPOLLIN, this);
    const std::vector<std::uint8_t> filler(100'000, 'f');
    std::size_t filled = 0;
    for (io_result r{.bytes = 1}; !r.again(); filled += r.bytes)
        r = end_.send(filler);
    ASSERT_EQ(SSL_key_update(client_, SSL_KEY_UPDATE_REQUESTED), 1);
    say("behind the keys");
    EXPECT_LE(turns(20), 20);
    std::size_t read = 0;
    std::vector<std::uint8_t> part(16'384);
    run_until([&] {
        const int n = SSL_read(client_, part.data(), static_cast<int>(part.size()));
        read += static_cast<std::size_t>(std::max(n, 0));
        boost::asio::post(loop_, [] {});  // keeps the loop turning
        return got_.size() == 15;
    });
    EXPECT_EQ(got_, "behind the keys");
}

TEST_F(TlsStream, TheClientHearsWhichProtocolIsSpoken) {
    shake_hands();
    EXPECT_TRUE(end_.tls()->has_agreed_protocol());
}

TEST_F(TlsStream, TheNameOfACertificateIsTheClients) {
    EXPECT_EQ(name_seen("alice"), "alice");
}

TEST_F(TlsStream, TheNameOfACertificateIsNoneWithANulInIt) {
    const std::string_view name("alice\0.evil.example", 19);
    EXPECT_EQ(name_seen(name), std::nullopt) << "CVE-2009-4034";
}

TEST_F(TlsStream, ACertificateThatIsNotTrustedEndsTheHandshakeWithAReason) {
    const own_certificate another;
    const auto rules =
        *tls_context::for_backend({backend_tls::verify_full, another.cert(), "localhost"});
    tls_channel client(*rules, ends_[1], {});
    tls_channel server(*identity_, ends_[0], {});
    auto step = client.handshake();
    for (int turn = 0; turn < 10 && step != tls_channel::step::failed; ++turn) {
        server.handshake();
        step = client.handshake();
    }
    EXPECT_EQ(step, tls_channel::step::failed);
    EXPECT_THAT(client.why(), HasSubstr("certificate verify failed"));
    EXPECT_EQ(server.handshake(), tls_channel::step::failed);
}

TEST(TlsContext, AFileThatIsWrongIsNamed) {
    const own_certificate one;
    const own_certificate another;
    const auto why = [](const std::string& cert, const std::string& key) {
        const auto made = tls_context::for_clients({cert, key});
        return made ? std::string("no error") : made.error().message;
    };
    EXPECT_EQ(why(one.cert(), one.key()), "no error");
    EXPECT_EQ(why("/nowhere/cert", one.key()), "/nowhere/cert: No such file or directory");
    EXPECT_THAT(why(one.key(), one.key()), StartsWith(one.key() + ": it holds no certificate"));
    EXPECT_THAT(why(one.cert(), one.cert()), StartsWith(one.cert() + ": "));
    EXPECT_EQ(why(one.cert(), another.key()), another.key() + ": key values mismatch");
    const auto rules = tls_context::for_backend({backend_tls::require, one.key(), "localhost"});
    ASSERT_FALSE(rules.has_value());
    EXPECT_THAT(rules.error().message, StartsWith(one.key() + ": "));
}

TEST(TlsContext, OneFileMayHoldCertificateAndKey) {
    const own_certificate one;
    std::ofstream(one.cert(), std::ios::app) << std::ifstream(one.key()).rdbuf();
    EXPECT_TRUE(tls_context::for_clients({one.cert(), one.cert()}).has_value());
}

}  // namespace
}  // namespace pgsluice::proxy
