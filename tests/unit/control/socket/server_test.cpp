#include "control/socket/client.hpp"
#include "control/socket/server.hpp"
#include "control/socket/unix_socket.hpp"
#include "tests/unit/control/base/temp_directory.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <latch>
#include <sys/socket.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

namespace pgsluice::control {
namespace {

using testing::HasSubstr;

outcome echo(const request& given, const progress_sink& tell) {
    tell({{"step", 1}});
    tell({{"step", 2}});
    return outcome::done({{"command", given.what->name}, {"service", given.service}});
}

class ControlSocket : public testing::Test {
protected:
    std::unique_ptr<control_socket> start(control_socket::command_runner runner) {
        auto started = control_socket::start(path, std::move(runner));
        EXPECT_TRUE(started.has_value());
        return started ? std::move(*started) : nullptr;
    }
    request status() { return make_request("status", "app", {}).value(); }

    /// Sends raw bytes, then reads the first line of the answer; empty when there is none.
    std::string answer_to(std::string_view bytes, bool hang_up = false) {
        auto channel = connect_control(path);
        EXPECT_TRUE(channel.has_value());
        for (std::string_view rest = bytes; !rest.empty();) {
            const ssize_t n = ::send(channel->fd(), rest.data(), rest.size(), MSG_NOSIGNAL);
            if (n <= 0) {
                break;
            }
            rest.remove_prefix(static_cast<std::size_t>(n));
        }
        if (hang_up) {
            ::shutdown(channel->fd(), SHUT_WR);
        }
        const auto line =
            channel->read_line(1 << 20, line_channel::clock::now() + std::chrono::seconds(30));
        return line && *line ? **line : "";
    }

    temp_directory directory;
    std::string path = directory.path() + "/control.sock";
};

TEST_F(ControlSocket, RunsACommandWithProgress) {
    const auto server = start(echo);
    std::vector<boost::json::object> steps;
    const outcome ended =
        run_command(path, status(), [&](const auto& step) { steps.push_back(step); });
    EXPECT_EQ(ended.exit, exit_code::done);
    EXPECT_EQ(ended.result, (boost::json::object{{"command", "status"}, {"service", "app"}}));
    ASSERT_EQ(steps.size(), 2u);
    EXPECT_EQ(steps[1], (boost::json::object{{"step", 2}}));
}

TEST_F(ControlSocket, CarriesExitCodeAndErrorWithAResult) {
    const auto server = start([](const request&, const progress_sink&) {
        return outcome::of(exit_code::deadline, "too late", {{"blockers", 3}});
    });
    const outcome ended = run_command(path, status(), [](const auto&) {});
    EXPECT_EQ(ended.exit, exit_code::deadline);
    EXPECT_EQ(ended.error, "too late");
    EXPECT_EQ(ended.result, (boost::json::object{{"blockers", 3}}));
}

TEST_F(ControlSocket, FileIsForTheOwnerOnlyAndGoesAwayWithTheServer) {
    auto server = start(echo);
    struct stat status {};
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600u);
    server.reset();
    EXPECT_NE(::stat(path.c_str(), &status), 0);
}

TEST_F(ControlSocket, NobodyThereIsItsOwnExitCode) {
    EXPECT_EQ(run_command(path, status(), [](const auto&) {}).exit, exit_code::no_daemon);
}

TEST_F(ControlSocket, GarbageIsAUsageErrorAndServingGoesOn) {
    const auto server = start(echo);
    EXPECT_THAT(answer_to("garbage\n"), HasSubstr("not a JSON object"));
    EXPECT_THAT(answer_to("\n"), HasSubstr("\"exit\":2"));
    EXPECT_THAT(answer_to(std::string("\0\xff\n", 3)), HasSubstr("\"exit\":2"));
    EXPECT_THAT(answer_to("{\"command\":\"statsu\"}\n"), HasSubstr("did you mean"));
    EXPECT_THAT(
        answer_to(std::string(control_socket::request_bytes_max * 2, 'x')),
        HasSubstr("a line longer than 65536 bytes")
    );
    EXPECT_THAT(answer_to("{\"command\":\"sta", true), HasSubstr("amid a line"));
    EXPECT_EQ(answer_to("", true), "");
    EXPECT_THAT(answer_to("{\"command\":\"status\"}\n"), HasSubstr("\"progress\""));
}

TEST_F(ControlSocket, LineMayComeInPieces) {
    const auto server = start(echo);
    auto channel = connect_control(path);
    for (const char byte : std::string("{\"command\":\"status\"}\n")) {
        ASSERT_EQ(::send(channel->fd(), &byte, 1, 0), 1);
    }
    const auto line =
        channel->read_line(1 << 20, line_channel::clock::now() + std::chrono::seconds(30));
    EXPECT_THAT(line.value().value(), HasSubstr("\"step\":1"));
}

TEST_F(ControlSocket, CommandGoesOnWhenItsPeerHangsUp) {
    std::promise<void> hung_up;
    std::promise<bool> ended;
    const auto server = start([&](const request&, const progress_sink& tell) {
        hung_up.get_future().wait();
        tell({{"step", 1}});
        tell({{"step", 2}});
        ended.set_value(true);
        return outcome::done({});
    });
    {
        auto channel = connect_control(path);
        ASSERT_TRUE(channel->write_line("{\"command\":\"status\"}").has_value());
    }
    hung_up.set_value();
    EXPECT_TRUE(ended.get_future().get());
}

TEST_F(ControlSocket, StopDoesNotWaitForPeersWithoutACommand) {
    auto server = start(echo);
    auto silent = connect_control(path);
    ASSERT_TRUE(silent.has_value());
    EXPECT_THAT(answer_to("{\"command\":\"status\"}\n"), HasSubstr("progress"))
        << "the silent peer was accepted before";
    server.reset();
    const auto line =
        silent->read_line(1000, line_channel::clock::now() + std::chrono::seconds(30));
    EXPECT_TRUE(line.has_value() && !*line) << "hung up, well before the request's own deadline";
}

TEST_F(ControlSocket, TooManyCommandsAtOnceAreRefused) {
    std::promise<void> release;
    const auto released = release.get_future().share();
    std::latch running(control_socket::connections_max);
    const auto server = start([&](const request&, const progress_sink&) {
        running.count_down();
        released.wait();
        return outcome::done({});
    });
    std::vector<std::future<outcome>> commands;
    for (std::size_t i = 0; i < control_socket::connections_max; ++i) {
        commands.push_back(std::async(std::launch::async, [this] {
            return run_command(path, status(), [](const auto&) {});
        }));
    }
    running.wait();
    const outcome refused = run_command(path, status(), [](const auto&) {});
    release.set_value();
    EXPECT_EQ(refused.exit, exit_code::refused);
    EXPECT_THAT(refused.error, HasSubstr("too many commands"));
    for (auto& each : commands) {
        EXPECT_EQ(each.get().exit, exit_code::done);
    }
}

TEST_F(ControlSocket, AnswersAtOnceWhileAllOtherCommandsWait) {
    std::promise<void> release;
    const auto released = release.get_future().share();
    constexpr std::size_t waiting_count = control_socket::connections_max - 1;
    std::latch waiting(waiting_count);
    const auto server = start([&](const request& given, const progress_sink&) {
        if (given.what->id == command_id::pause) {
            waiting.count_down();
            released.wait();
        }
        return outcome::done({});
    });
    std::vector<std::future<outcome>> pauses;
    for (std::size_t i = 0; i < waiting_count; ++i) {
        pauses.push_back(std::async(std::launch::async, [this, i] {
            const request pause = make_request("pause", "app" + std::to_string(i), {}).value();
            return run_command(path, pause, [](const auto&) {});
        }));
    }
    waiting.wait();
    for (const char* name : {"status", "abort", "resume"}) {
        const request given = make_request(name, "app0", {}).value();
        auto answer = std::async(std::launch::async, [&] {
            return run_command(path, given, [](const auto&) {});
        });
        const auto state = answer.wait_for(std::chrono::seconds(20));
        EXPECT_EQ(state, std::future_status::ready) << name << " waits behind other commands";
        if (state != std::future_status::ready) {
            break;
        }
        EXPECT_EQ(answer.get().exit, exit_code::done) << name;
    }
    release.set_value();
    for (auto& each : pauses) {
        EXPECT_EQ(each.get().exit, exit_code::done);
    }
}

TEST_F(ControlSocket, PeerThatReadsNothingDelaysItsOwnCommandOnly) {
    std::promise<void> ended;
    std::latch telling(1);
    const auto server = start([&](const request& given, const progress_sink& tell) {
        if (given.what->id == command_id::pause) {
            telling.count_down();
            tell({{"step", std::string(4UL << 20, 'x')}});
            tell({{"step", 2}});
            ended.set_value();
        }
        return outcome::done({});
    });
    auto silent = connect_control(path);
    ASSERT_TRUE(silent->write_line("{\"command\":\"pause\"}").has_value());
    telling.wait();
    auto command = ended.get_future();
    EXPECT_EQ(run_command(path, status(), [](const auto&) {}).exit, exit_code::done);
    EXPECT_EQ(command.wait_for(std::chrono::seconds(0)), std::future_status::timeout)
        << "the command waits for its peer";
    EXPECT_EQ(command.wait_for(std::chrono::seconds(30)), std::future_status::ready)
        << "but not for ever";
}

TEST_F(ControlSocket, SlowPeerGetsTheWholeAnswer) {
    const std::string text(1UL << 20, 'x');
    const auto server = start([&](const request&, const progress_sink&) {
        return outcome::done({{"text", text}});
    });
    auto slow = connect_control(path);
    ASSERT_TRUE(slow->write_line("{\"command\":\"status\"}").has_value());
    std::string received;
    std::string buffer(64UL << 10, '\0');
    while (received.empty() || received.back() != '\n') {
        std::this_thread::sleep_for(std::chrono::milliseconds(400));
        const ssize_t n = ::recv(slow->fd(), buffer.data(), buffer.size(), 0);
        ASSERT_GT(n, 0) << "hung up after " << received.size() << " bytes";
        received.append(buffer, 0, static_cast<std::size_t>(n));
    }
    EXPECT_GT(received.size(), text.size());
}

TEST_F(ControlSocket, StopWaitsForCommandsAndTheirAnswers) {
    std::promise<void> release;
    std::latch running(1);
    auto server = start([&](const request&, const progress_sink& tell) {
        running.count_down();
        release.get_future().wait();
        tell({{"step", 1}});
        return outcome::done({{"last", true}});
    });
    auto command = std::async(std::launch::async, [this] {
        return run_command(path, status(), [](const auto&) {});
    });
    running.wait();
    auto stopped = std::async(std::launch::async, [&] { server.reset(); });
    EXPECT_EQ(stopped.wait_for(std::chrono::milliseconds(100)), std::future_status::timeout);
    release.set_value();
    const outcome ended = command.get();
    EXPECT_EQ(ended.exit, exit_code::done);
    EXPECT_EQ(ended.result, (boost::json::object{{"last", true}}));
    stopped.get();
}

TEST_F(ControlSocket, ExceptionsGiveTheirConnectionsBack) {
    const auto server = start([](const request&, const progress_sink&) -> outcome {
        throw std::runtime_error("boom");
    });
    for (std::size_t i = 0; i < control_socket::connections_max * 2; ++i) {
        const outcome ended = run_command(path, status(), [](const auto&) {});
        EXPECT_THAT(ended.error, HasSubstr("boom"));
    }
}

TEST_F(ControlSocket, ExceptionIsAnAnswerNotTheEnd) {
    const auto server = start([](const request&, const progress_sink&) -> outcome {
        throw std::runtime_error("boom");
    });
    const outcome ended = run_command(path, status(), [](const auto&) {});
    EXPECT_EQ(ended.exit, exit_code::needs_operator);
    EXPECT_THAT(ended.error, HasSubstr("boom"));
}

TEST_F(ControlSocket, DaemonGoneAmidACommandIsNotSuccess) {
    const auto listener = listen_control(path);
    auto ended = std::async(std::launch::async, [this] {
        return run_command(path, status(), [](const auto&) {});
    });
    { const unique_fd peer(::accept(listener->get(), nullptr, nullptr)); }
    EXPECT_EQ(ended.get().exit, exit_code::needs_operator);
}

TEST_F(ControlSocket, StaleFileIsReplacedButNotALiveOneOrAnotherFile) {
    { const auto dead = listen_control(path); }
    struct stat status {};
    ASSERT_EQ(::stat(path.c_str(), &status), 0) << "closing a socket leaves its file";
    const auto server = start(echo);
    const auto second = control_socket::start(path, echo);
    ASSERT_TRUE(second.has_error());
    EXPECT_THAT(second.error().message, HasSubstr("another process listens on " + path));
    EXPECT_EQ(run_command(path, this->status(), [](const auto&) {}).exit, exit_code::done);
    const auto file = control_socket::start(directory.path(), echo);
    ASSERT_TRUE(file.has_error());
    EXPECT_THAT(file.error().message, HasSubstr("is not a socket"));
}

TEST_F(ControlSocket, PathsThatCannotBeAreErrors) {
    EXPECT_TRUE(control_socket::start("", echo).has_error());
    EXPECT_TRUE(control_socket::start("/" + std::string(200, 'x'), echo).has_error());
    EXPECT_TRUE(control_socket::start("/proc/none/control.sock", echo).has_error());
}

}  // namespace
}  // namespace pgsluice::control
